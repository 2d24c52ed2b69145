"""Bad days at the door to the cloud: what AWS, the network or the configuration does, and which error it becomes."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pcinfra.aws import Aws, Patience, Target
from pcinfra.errors import AccessDenied, CloudError, Conflict, CredentialsError, NotFound, PcinfraError, Unreachable
from tests.unit.loopback import (
    IDENTITY,
    Answer,
    closed_port,
    ec2_error,
    json_error,
    query_error,
    s3_error,
    serving,
)

KEYS = ("AKIAIOSFODNN7EXAMPLE", "secret")
ONCE = Patience(attempts=1, connect=5, read=30)
TWICE = Patience(attempts=2, connect=5, read=30)


@pytest.fixture(autouse=True)
def _nobodys_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's variables nor ~/.aws, nor a machine's role, nor a proxy."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "*")


def aws(url: str, patience: Patience = ONCE, profile: str = "") -> Aws:
    return Aws(Target("us-east-1", url, profile, () if profile else KEYS), patience)


# --- answers that are errors ---------------------------------------------------------------------------------------

LOG_IN, WHO, FILE_SYSTEMS = CredentialsError, "GetCallerIdentity", "DescribeFileSystems"
ANSWERS = [
    ("expired token", "sts", WHO, query_error(403, "ExpiredToken"), LOG_IN, "expired"),
    ("expired token of S3", "s3", "ListBuckets", s3_error(400, "ExpiredToken"), LOG_IN, "aws sso login"),
    ("expired token of FSx", "fsx", FILE_SYSTEMS, json_error(400, "ExpiredTokenException"), LOG_IN, ""),
    ("expired token of EC2", "ec2", "DescribeVpcs", ec2_error(400, "RequestExpired"), LOG_IN, "expired"),
    ("unknown key", "sts", WHO, query_error(403, "InvalidClientTokenId"), LOG_IN, "aws configure"),
    ("unknown key of EC2", "ec2", "DescribeVpcs", ec2_error(401, "AuthFailure"), LOG_IN, "aws configure"),
    ("wrong secret", "s3", "ListBuckets", s3_error(403, "SignatureDoesNotMatch"), LOG_IN, "aws configure"),
    ("wrong clock", "s3", "ListBuckets", s3_error(403, "RequestTimeTooSkewed"), LOG_IN, "clock"),
    ("denied", "cloudformation", "ListStacks", query_error(403, "AccessDenied"), AccessDenied, "permission"),
    ("denied by FSx", "fsx", FILE_SYSTEMS, json_error(400, "AccessDeniedException"), AccessDenied, "--profile"),
    ("denied by EC2", "ec2", "DescribeVpcs", ec2_error(403, "UnauthorizedOperation"), AccessDenied, "permission"),
    ("denied by a policy above", "s3", "ListBuckets", s3_error(403, "AllAccessDisabled"), AccessDenied, "permission"),
    ("region not enabled", "ec2", "DescribeVpcs", ec2_error(403, "OptInRequired"), AccessDenied, ""),
    ("not there", "fsx", FILE_SYSTEMS, json_error(400, "FileSystemNotFound"), NotFound, ""),
    ("not there in EC2", "ec2", "DescribeVpcs", ec2_error(400, "InvalidVpcID.NotFound"), NotFound, ""),
    ("there already", "cloudformation", "ListStacks", query_error(400, "AlreadyExistsException"), Conflict, ""),
    ("quota", "ec2", "DescribeVpcs", ec2_error(400, "VpcLimitExceeded"), CloudError, "Service Quotas"),
    ("quota of FSx", "fsx", FILE_SYSTEMS, json_error(400, "ServiceLimitExceeded"), CloudError, "Service Quotas"),
    ("not implemented", "ec2", "DescribeVpcs", ec2_error(501, "NotImplemented"), CloudError, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("service", "operation", "answer", "kind", "hint"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
def test_a_refusal_is_not_tried_again(
    service: str, operation: str, answer: Answer, kind: type[CloudError], hint: str
) -> None:
    with serving(answer) as server, pytest.raises(CloudError) as caught:
        aws(server.url, TWICE).call(service, operation)
    assert type(caught.value) is kind
    assert caught.value.where == f"{service}:{operation}"
    assert caught.value.code in answer.body
    assert "what AWS says" in caught.value.why
    assert hint in caught.value.hint
    assert len(server.requests) == 1


def test_the_secret_part_of_a_denial_is_left_out() -> None:
    said = "You are not authorized. Encoded authorization failure message: " + "x" * 700
    with serving(ec2_error(403, "UnauthorizedOperation", said)) as server, pytest.raises(AccessDenied) as caught:
        aws(server.url).call("ec2", "DescribeVpcs")
    assert caught.value.why == "UnauthorizedOperation: You are not authorized."


# --- answers that are worth another attempt ------------------------------------------------------------------------

PASSING = [
    ("throttled", query_error(400, "Throttling", "Rate exceeded")),
    ("500", query_error(500, "InternalFailure")),
    ("503", query_error(503, "ServiceUnavailable")),
    ("a gateway's page", Answer(502, "<html>Bad Gateway</html>")),
    ("connection reset", Answer(how="reset")),
]


@pytest.mark.parametrize("trouble", [row[1] for row in PASSING], ids=[row[0] for row in PASSING])
def test_trouble_that_passes_is_not_noticed(trouble: Answer) -> None:
    with serving(trouble, IDENTITY) as server:
        cloud = aws(server.url, TWICE)
        assert cloud.account == "123456789012"
    assert len(server.requests) == 2
    assert cloud.calls == {"sts.GetCallerIdentity": 2}


@pytest.mark.parametrize("trouble", [row[1] for row in PASSING], ids=[row[0] for row in PASSING])
def test_trouble_that_stays_ends_after_the_attempts(trouble: Answer) -> None:
    with serving(trouble) as server, pytest.raises(Unreachable) as caught:
        aws(server.url, TWICE).call("sts", "GetCallerIdentity")
    assert len(server.requests) == 2
    assert caught.value.where == "sts:GetCallerIdentity"
    assert "same command again" in caught.value.hint


@pytest.mark.parametrize(
    ("service", "operation", "trouble"),
    [
        ("s3", "ListBuckets", s3_error(503, "SlowDown")),
        ("ec2", "DescribeVpcs", ec2_error(503, "RequestLimitExceeded")),
        ("fsx", "DescribeFileSystems", json_error(400, "ThrottlingException")),
        ("ecr", "DescribeRepositories", json_error(400, "TooManyRequestsException")),
    ],
)
def test_every_protocol_is_throttled_alike(service: str, operation: str, trouble: Answer) -> None:
    with serving(trouble) as server, pytest.raises(Unreachable) as caught:
        aws(server.url, ONCE).call(service, operation)
    assert caught.value.code in trouble.body


def test_half_an_answer() -> None:
    with serving(Answer(body=IDENTITY.body[:80], how="half")) as server, pytest.raises(Unreachable, match="broke off"):
        aws(server.url).call("sts", "GetCallerIdentity")


def test_an_answer_that_does_not_come() -> None:
    impatient = Patience(attempts=2, connect=5, read=0.2)
    with serving(Answer(how="late")) as server, pytest.raises(Unreachable) as caught:
        aws(server.url, impatient).call("sts", "GetCallerIdentity")
    assert len(server.requests) == 2
    assert caught.value.code == "ReadTimeoutError"


def test_an_answer_that_comes_at_the_second_attempt() -> None:
    impatient = Patience(attempts=2, connect=5, read=1)
    with serving(Answer(how="late"), IDENTITY) as server:
        assert aws(server.url, impatient).account == "123456789012"


def test_nobody_listens() -> None:
    with pytest.raises(Unreachable, match="Could not connect") as caught:
        aws(f"http://127.0.0.1:{closed_port()}").call("sts", "GetCallerIdentity")
    assert "check the network" in caught.value.hint


def test_a_log_in_page_instead_of_aws() -> None:
    page = Answer(200, "<html><body>Welcome to the hotel<br></body></html>")
    with serving(page) as server, pytest.raises(Unreachable, match="log-in page") as caught:
        aws(server.url).call("sts", "GetCallerIdentity")
    assert "check the network" in caught.value.hint


# --- buckets in the wrong place ------------------------------------------------------------------------------------


def test_a_bucket_of_another_region_by_redirect() -> None:
    redirect = Answer(301, headers={"x-amz-bucket-region": "eu-west-1"})
    with serving(redirect) as server, pytest.raises(CloudError) as caught:
        aws(server.url).call("s3", "HeadBucket", Bucket="my-bucket")
    assert caught.value.code == "301"
    assert "eu-west-1" in caught.value.why
    assert caught.value.hint == "region: eu-west-1 in pcinfra.yaml, or another bucket.name"


def test_a_bucket_of_another_region_that_boto3_follows() -> None:
    there = {"x-amz-bucket-region": "eu-west-1"}
    answers = (Answer(301, headers=there), Answer(200, headers=there))
    with serving(*answers) as server, pytest.raises(CloudError, match="in eu-west-1, not in us-east-1") as caught:
        aws(server.url).call("s3", "HeadBucket", Bucket="my-bucket")
    assert len(server.requests) == 2
    assert caught.value.code == "PermanentRedirect"
    assert caught.value.hint.startswith("region: eu-west-1")


def test_a_bucket_of_another_region_by_its_signature() -> None:
    answer = s3_error(400, "AuthorizationHeaderMalformed", extra="<Region>ap-south-1</Region>")
    with serving(answer) as server, pytest.raises(CloudError) as caught:
        aws(server.url).call("s3", "ListObjectsV2", Bucket="my-bucket")
    assert "ap-south-1" in caught.value.hint


def test_a_bucket_of_this_region() -> None:
    with serving(Answer(200, headers={"x-amz-bucket-region": "us-east-1"})) as server:
        assert aws(server.url).call("s3", "HeadBucket", Bucket="my-bucket")["BucketRegion"] == "us-east-1"


def test_a_bucket_of_somebody_else() -> None:
    with serving(Answer(403)) as server, pytest.raises(AccessDenied) as caught:
        aws(server.url).call("s3", "HeadBucket", Bucket="my-bucket", ExpectedBucketOwner="123456789012")
    assert caught.value.code == "403"
    assert server.requests[0].headers["x-amz-expected-bucket-owner"] == "123456789012"


def test_no_bucket() -> None:
    with serving(Answer(404)) as server, pytest.raises(NotFound):
        aws(server.url).call("s3", "HeadBucket", Bucket="my-bucket")


# --- credentials and configuration ---------------------------------------------------------------------------------


def test_no_credentials_at_all() -> None:
    with serving(IDENTITY) as server, pytest.raises(CredentialsError) as caught:
        Aws(Target("us-east-1", server.url), ONCE).call("sts", "GetCallerIdentity")
    assert server.requests == []
    assert "no usable AWS credentials" in caught.value.why
    assert "aws configure" in caught.value.hint


def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    with serving(IDENTITY) as server, pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY"):
        Aws(Target("us-east-1", server.url), ONCE).call("sts", "GetCallerIdentity")


def test_the_variables_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serving(IDENTITY) as server:
        assert Aws(Target("us-east-1", server.url), ONCE).account == "123456789012"
    assert "AKIAENVIRONMENT" in server.requests[0].headers["Authorization"]


PROFILES = [
    ("no such profile", "", CredentialsError, "could not be found", "aws configure list-profiles"),
    (
        "without keys",
        "[profile team]\nregion = eu-west-1\n",
        CredentialsError,
        "no usable AWS credentials",
        "aws configure",
    ),
    ("not a configuration", "[profile team\nregion\n", CredentialsError, "config", "mend that file"),
    (
        "process that fails",
        "[profile team]\ncredential_process = /bin/false\n",
        CredentialsError,
        "no usable AWS credentials",
        "aws configure",
    ),
    (
        "never logged in",
        "[profile team]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x.invalid/start\n",
        CredentialsError,
        "",
        "aws sso login",
    ),
]


@pytest.mark.parametrize(
    ("config", "kind", "why", "hint"), [row[1:] for row in PROFILES], ids=[row[0] for row in PROFILES]
)
def test_a_profile_that_does_not_work(tmp_path: Path, config: str, kind: type[CloudError], why: str, hint: str) -> None:
    (tmp_path / "config").write_text(config)
    with serving(IDENTITY) as server, pytest.raises(kind) as caught:
        aws(server.url, profile="team").call("sts", "GetCallerIdentity")
    assert server.requests == []
    assert why in caught.value.why
    assert hint in caught.value.hint


def test_a_profile_that_works(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = s\n")
    with serving(IDENTITY) as server:
        assert aws(server.url, profile="team").account == "123456789012"
    assert "AKIATEAM" in server.requests[0].headers["Authorization"]


# --- pages, counting, threads --------------------------------------------------------------------------------------

PAGE = (
    "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{}</StackName></member></Stacks>{}"
    "</DescribeStacksResult></DescribeStacksResponse>"
)


def test_pages_go_on_through_trouble() -> None:
    first, last = Answer(body=PAGE.format("a", "<NextToken>n</NextToken>")), Answer(body=PAGE.format("b", ""))
    with serving(first, query_error(400, "Throttling"), last) as server:
        rows = aws(server.url, TWICE).pages("cloudformation", "DescribeStacks", "Stacks")
    assert [row["StackName"] for row in rows] == ["a", "b"]
    assert "NextToken=n" in server.requests[-1].body


def test_pages_that_end_in_a_denial() -> None:
    first = Answer(body=PAGE.format("a", "<NextToken>n</NextToken>"))
    with serving(first, query_error(403, "AccessDenied")) as server, pytest.raises(AccessDenied):
        aws(server.url).pages("cloudformation", "DescribeStacks", "Stacks")


def test_every_request_is_counted_from_many_threads() -> None:
    gate = threading.Barrier(8)

    def ask(cloud: Aws) -> None:
        gate.wait()
        for _ in range(10):
            cloud.call("sts", "GetCallerIdentity")

    with serving(IDENTITY) as server:
        cloud = aws(server.url)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, [cloud] * 8))
    assert cloud.calls == {"sts.GetCallerIdentity": 80}
    assert len(server.requests) == 80


def test_every_error_says_what_to_do_in_one_screen() -> None:
    answer = query_error(403, "ExpiredToken", "The security token included in the request is expired")
    with serving(answer) as server, pytest.raises(PcinfraError) as caught:
        aws(server.url).call("sts", "GetCallerIdentity")
    assert str(caught.value) == (
        "sts:GetCallerIdentity: ExpiredToken: The security token included in the request is expired\n"
        "  try: the session has expired; aws sts get-caller-identity   (then aws configure, or aws sso login)"
    )
    assert caught.value.exit_code == 1
