"""Takes secrets out of text that leaves this machine. It knows forms, not values: what it cannot know, it leaves."""

from __future__ import annotations

import re

MARK = "[removed]"

_WORDS = (
    r"(?:pass(?:word|wd|phrase)?|secret|token(?!i[sz]|s_per|s?_(?:count|limit))|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|credentials?)"
)
_VALUE = r"""("[^"\n]*"|'[^'\n]*'|[^\s,;&"'<>()\[\]{}]+)"""

# Each takes what stands in its group "keep" with it; everything else that it matches goes.
_FORMS = tuple(
    re.compile(form, flags)
    for form, flags in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        (r"(?P<keep>\b(?:Authorization|X-Amz-Security-Token|X-Aws-Ec2-Metadata-Token|Cookie)\s*[:=]\s*)[^\n]+", re.I),
        (r"(?P<keep>[?&](?:X-Amz-(?:Signature|Security-Token|Credential)|Signature|AWSAccessKeyId)=)[^&\s\"']+", re.I),
        (r"(?P<keep>\b[a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/@]+@", re.I),
        (r"\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{16}\b", 0),
        (r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|sk-[A-Za-z0-9_-]{20,}|xox[a-z]-[\w-]{10,}"
         r"|glpat-[\w-]{16,}|nvapi-[\w-]{20,})", 0),
        (r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+", 0),
        # NAME=value and "name": value, where the name speaks of a secret; $(...) stays: it only says how to get one.
        (rf"(?P<keep>[\"']?[\w.-]*{_WORDS}[\w.-]*[\"']?\s*[:=]\s*)(?!\s*(?:\$\(|(?:null|none|true|false)\b)){_VALUE}",
         re.I),
        (rf"(?P<keep>--[\w-]*{_WORDS}[\w-]*[ =]){_VALUE}", re.I),
    )
)  # fmt: skip


def redacted(text: str) -> str:
    """Return ``text`` without what looks like a secret; doing it again changes nothing."""
    for form in _FORMS:
        text = form.sub(lambda match: f"{match.groupdict().get('keep') or ''}{MARK}", text)
    return text
