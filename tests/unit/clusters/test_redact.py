"""What leaves this machine in a diagnosis has no secrets in it."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcinfra.clusters.diagnose import archive
from pcinfra.clusters.redact import MARK, redacted

SECRET = "s3cr3tvaluE0123456789abcdefABCDEF01234567"


@pytest.mark.parametrize(
    "line",
    [
        f"aws_secret_access_key = {SECRET}",
        f"export HF_TOKEN={SECRET}",
        f'{{"password": "{SECRET}"}}',
        f"--db-password {SECRET}",
        f"--api-key={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"https://user:{SECRET}@example.com/x",
        f"https://b.s3.amazonaws.com/k?X-Amz-Signature={SECRET}&x=1",
        f"X-Amz-Security-Token: {SECRET}",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}",
        f"WANDB_API_KEY: '{SECRET}'",
        f"slurmdbd: StoragePass={SECRET}",
        f"hf_{SECRET}",
        f"ghp_{SECRET}",
    ],
)
def test_secrets_go(line: str) -> None:
    text = redacted(f"before\n{line}\nafter")
    assert SECRET not in text
    assert MARK in text
    assert text.startswith("before\n")


@pytest.mark.parametrize(
    "line",
    [
        "machine 1.dkr.ecr.us-east-1.amazonaws.com login AWS password $(aws ecr get-login-password --region us-east-1)",
        "AuthType=auth/munge", "slurmctld: error: Node gpu-st-p5-1 not responding", "tokens_per_second: 1200",
        "CustomS3Bucket: my-bucket", "- Key: pcinfra:project", "AuthInfo=/var/run/munge.socket", "KeyName: null",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(line: str) -> None:
    assert redacted(line) == line


def test_access_key_ids_go() -> None:
    assert "AKIAIOSFODNN7EXAMPLE" not in redacted("key AKIAIOSFODNN7EXAMPLE used")


@given(st.text(max_size=300))
def test_doing_it_again_changes_nothing(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@given(
    st.sampled_from(["password", "SECRET_KEY", "my.token", "apiKey", "db_passwd"]),
    st.sampled_from(["=", ": ", ":", " = "]),
    st.text("abcdefXYZ0123456789+/_", min_size=8, max_size=40).filter(lambda v: not v.isdigit() and v[0] not in "/~"),
)
def test_a_value_behind_a_telling_name_goes(name: str, sign: str, value: str) -> None:
    if value.startswith(("null", "true", "false")):
        return
    assert value not in redacted(f"x {name}{sign}{value}\n").replace(name, "")


def test_the_archive_holds_no_secret_whatever_file_it_was_in() -> None:
    data = archive("train", {"a/b.txt": f"PASSWORD={SECRET}", "c.txt": "plain"}, [f"token: {SECRET}"])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        texts = {entry.name: tar.extractfile(entry).read().decode() for entry in tar}  # type: ignore[union-attr]
    assert set(texts) == {f"train-diagnosis/{name}" for name in ("README.txt", "a/b.txt", "c.txt")}
    assert not any(SECRET in text for text in texts.values())
    assert texts["train-diagnosis/c.txt"] == "plain"
