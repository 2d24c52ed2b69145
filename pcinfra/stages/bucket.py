"""Stage *bucket*: one private, encrypted, versioned S3 bucket with the guide's layout.

``scripts/bootstrap/ data/ checkpoints/ logs/ results/``. A bucket made by hand is taken over when this account
owns it: its settings are brought to ours, its objects stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pcinfra.engine import Action, Change, Kind, Plan
from pcinfra.errors import AccessDenied, CloudError, Conflict, NotFound, Refused
from pcinfra.stages.base import Facts, Health, Resource

if TYPE_CHECKING:
    from pcinfra.aws import Cloud
    from pcinfra.doors import Doors
    from pcinfra.project import Project

BUCKET = "bucket/bucket"
_NOT_DATA = ("scripts/bootstrap/", "scripts/builds/", "parallelcluster/")  # the last: where pcluster keeps its files
SCRIPTS = "scripts/bootstrap/"
PREFIXES = ("data/", "checkpoints/", "logs/", "results/", SCRIPTS)  # the last one says that all of them are there
_PRIVATE = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a bucket: the calls that read and write it, and the value wanted.

    Args:
        read: S3 operation that returns it.
        key: where in the answer it is.
        write: S3 operation that sets it.
        wanted: the value; of a list, the elements that must be in it.
        identity: for a list, the key by which elements are told apart: what others put there is kept.
    """

    name: str
    read: str
    key: str
    write: str
    wanted: Any
    identity: str = ""

    def holds(self, found: Any) -> bool:
        """Whether ``found`` is as wanted."""
        return all(item in (found or []) for item in self.wanted) if self.identity else bool(found == self.wanted)

    def merged(self, found: Any) -> Any:
        """Return the value to write where ``found`` is now."""
        if not self.identity:
            return self.wanted
        ours = {item[self.identity] for item in self.wanted}
        return [item for item in found or [] if item.get(self.identity) not in ours] + self.wanted

    def value(self, answer: Mapping[str, Any]) -> Any:
        """Return the setting's value in the answer of ``read``, in the form of ``wanted``."""
        value: Any = answer
        for part in self.key.split("."):
            value = (value or {}).get(part)
        if self.name == "policy":
            return json.loads(value)["Statement"] if value else None
        if self.name == "encryption":
            return [rule.get("ApplyServerSideEncryptionByDefault") for rule in value or []]
        return value


def _request(name: str, value: Any) -> dict[str, Any]:
    """Return the parameters, without the bucket, of the call that writes ``value``."""
    encryption = [_encryption(rule) for rule in value] if name == "encryption" else []
    bodies = {
        "public access": {"PublicAccessBlockConfiguration": value},
        "encryption": {"ServerSideEncryptionConfiguration": {"Rules": encryption}},
        "versioning": {"VersioningConfiguration": {"Status": value}},
        "life cycle": {"LifecycleConfiguration": {"Rules": value}},
        "policy": {"Policy": json.dumps({"Version": "2012-10-17", "Statement": value})},
        "tags": {"Tagging": {"TagSet": value}},
    }
    return bodies[name]


_OWN_KEY = {"SSEAlgorithm": "AES256"}


def _encryption(rule: dict[str, str]) -> dict[str, Any]:
    """A bucket key spares a call to KMS for every object. Source: S3 user guide, "Amazon S3 Bucket Keys"."""
    return {"ApplyServerSideEncryptionByDefault": rule, "BucketKeyEnabled": rule["SSEAlgorithm"] == "aws:kms"}


def settings(project: Project, bucket: str) -> tuple[Setting, ...]:
    """Return what the bucket's settings should be."""
    tags = [{"Key": k, "Value": v} for k, v in project.tags_for(Bucket.name).items()]
    encryption = "ServerSideEncryptionConfiguration.Rules"
    key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": project.kms_key} if project.kms_key else _OWN_KEY
    rules = _lifecycle(project.bucket.old_versions_days)
    return (
        Setting(
            "public access", "GetPublicAccessBlock", "PublicAccessBlockConfiguration", "PutPublicAccessBlock", _PRIVATE
        ),
        Setting("encryption", "GetBucketEncryption", encryption, "PutBucketEncryption", [key]),
        Setting("versioning", "GetBucketVersioning", "Status", "PutBucketVersioning", "Enabled"),
        Setting(
            "life cycle", "GetBucketLifecycleConfiguration", "Rules", "PutBucketLifecycleConfiguration", rules, "ID"
        ),
        Setting("policy", "GetBucketPolicy", "Policy", "PutBucketPolicy", _statements(bucket), "Sid"),
        Setting("tags", "GetBucketTagging", "TagSet", "PutBucketTagging", tags, "Key"),
    )


def _lifecycle(days: int) -> list[dict[str, Any]]:
    return [
        {
            "ID": "pcinfra-old-versions",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": days},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]


def _statements(bucket: str) -> list[dict[str, Any]]:
    """Return the statement that refuses what does not come over TLS (S3 security best practices)."""
    arn = f"arn:aws:s3:::{bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return [statement]


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """The bucket as it is: whether it exists, the settings read, and what is below :data:`SCRIPTS`, with its ETags."""

    name: str
    exists: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contents:
    """How many objects in the bucket are the user's: neither a folder, nor a script, nor pcluster's own."""

    objects: int = 0
    more: bool = False

    def __str__(self) -> str:
        return f"{'more than ' if self.more else ''}{self.objects} object(s)"


@dataclass(frozen=True, slots=True)
class ReadContents:
    """Count the user's objects, in one call. The result is :class:`Contents`."""

    project: Project

    def start(self, doors: Doors, results: Mapping[str, Any]) -> Contents:
        name = self.project.bucket_name(doors.cloud.account)
        try:
            page = doors.cloud.call("s3", "ListObjectsV2", Bucket=name)
        except NotFound:
            return Contents()
        keys = [o["Key"] for o in page.get("Contents", []) if not o["Key"].endswith("/")]
        return Contents(sum(not key.startswith(_NOT_DATA) for key in keys), page["IsTruncated"])


class Bucket:
    """The S3 bucket."""

    name: ClassVar[str] = "bucket"
    needs: ClassVar[tuple[str, ...]] = ()

    def read(self, project: Project, doors: Doors, facts: Facts) -> BucketFacts:
        name = project.bucket_name(facts.account)
        listing = _listing(doors.cloud, name, facts.account)
        if listing is None:
            return BucketFacts(name)
        values = {setting.name: _read(doors.cloud, name, setting) for setting in settings(project, name)}
        return BucketFacts(name, True, values, listing)

    def up(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(BucketFacts)
        actions = [] if found.exists else [_create(found.name, facts.region, facts.account)]
        _refuse_foreign(project, found)
        for setting in settings(project, found.name):
            before = found.values.get(setting.name)
            if not setting.holds(before):
                actions.append(_set(found.name, setting, before, actions))
        if SCRIPTS not in found.scripts:  # the bucket is new, or somebody emptied it
            what, put = f"folders {' '.join(PREFIXES)}", PutFolders(found.name, PREFIXES)
            actions.append(Action("bucket/folders", Kind.CREATE, what, "do not exist", put, frozenset({BUCKET})))
        return Plan(tuple(actions))

    def down(self, project: Project, facts: Facts) -> Plan:
        found = facts.of(BucketFacts)
        if not found.exists:
            return Plan()
        if not _tags(found):
            return Plan(notes=(f"bucket {found.name} was not made by pcinfra: it is kept",))
        _refuse_foreign(project, found)
        contents: Contents = facts.values.get(Contents, Contents())
        loses = f"{contents} in s3://{found.name}, and every old version" if contents.objects else ""
        action = Action(
            BUCKET, Kind.DELETE, f"bucket {found.name}", "and everything in it", DeleteBucket(found.name),
            seconds=10, loses=loses,
        )  # fmt: skip
        return Plan((action,))

    def status(self, project: Project, facts: Facts) -> list[Resource]:
        found = facts.of(BucketFacts)
        what = f"bucket {found.name}"
        if not found.exists:
            return [Resource(self.name, what, "", Health.ABSENT)]
        wrong = [s.name for s in settings(project, found.name) if not s.holds(found.values.get(s.name))]
        health = Health.DIFFERS if wrong else Health.OK
        detail = f"differs: {', '.join(wrong)}" if wrong else "private, encrypted, versioned, TLS only"
        others = len(found.values.get("policy") or []) - len(_statements(found.name))
        if others > 0 and "policy" not in wrong:
            detail += f"; its policy has {others} more statement(s), made by hand"
        return [Resource(self.name, what, f"s3://{found.name}", health, detail)]

    def env(self, project: Project, facts: Facts) -> dict[str, str]:
        return {"AWS_ACCOUNT_ID": facts.account, "S3_BUCKET_NAME": facts.of(BucketFacts).name}


def _tags(found: BucketFacts) -> dict[str, str]:
    tags = {tag["Key"]: tag["Value"] for tag in found.values.get("tags") or []}
    return {key: value for key, value in tags.items() if key.startswith("pcinfra:")}


def _refuse_foreign(project: Project, found: BucketFacts) -> None:
    owner = _tags(found).get("pcinfra:project", project.project)
    if owner != project.project:
        raise Refused(
            f"belongs to the project {owner!r}", where=f"bucket {found.name}",
            hint="give this project a bucket of its own: bucket.name in pcinfra.yaml",
        )  # fmt: skip


def _listing(cloud: Cloud, bucket: str, account: str) -> dict[str, str] | None:
    """Return the ETags of what is below :data:`SCRIPTS` by key, None when there is no bucket; refuse others' buckets.

    Source: S3 API reference, ListObjectsV2 and "Error responses": 404 there is none, 403 no access, 301 another region.
    """
    try:
        rows = cloud.pages(
            "s3", "ListObjectsV2", "Contents", Bucket=bucket, Prefix=SCRIPTS, ExpectedBucketOwner=account
        )
    except NotFound:
        return None
    except AccessDenied as error:
        raise Refused(
            "exists, and this account may not use it: it belongs to somebody else, or a policy forbids it",
            where=f"bucket {bucket}", hint="another name: bucket.name in pcinfra.yaml",
        ) from error  # fmt: skip
    except CloudError as error:
        if error.code in ("301", "PermanentRedirect", "400"):
            raise Refused(
                f"is in another region than {cloud.region}", where=f"bucket {bucket}",
                hint="its region: in pcinfra.yaml, or another bucket.name",
            ) from error  # fmt: skip
        raise
    return {row["Key"]: row["ETag"].strip('"') for row in rows}


_UNSET = {
    "NoSuchBucketPolicy", "NoSuchLifecycleConfiguration", "NoSuchPublicAccessBlockConfiguration", "NoSuchTagSet",
    "ServerSideEncryptionConfigurationNotFoundError",
}  # fmt: skip


def _read(cloud: Cloud, bucket: str, setting: Setting) -> Any:
    try:
        return setting.value(cloud.call("s3", setting.read, Bucket=bucket))
    except CloudError as error:
        if error.code in _UNSET:
            return None
        raise


def _create(bucket: str, region: str, account: str) -> Action:
    operation = CreateBucket(bucket, region, account)
    return Action(BUCKET, Kind.CREATE, f"bucket {bucket}", "does not exist", operation, seconds=2)


def _set(bucket: str, setting: Setting, before: Any, earlier: list[Action]) -> Action:
    """Return the Action that writes one setting, after those before it.

    S3 API reference, error codes: two changes of one bucket at the same time can end in OperationAborted.
    """
    after = frozenset({earlier[-1].id} if earlier else ())
    value = setting.merged(before)
    why = "is not set" if before is None else "differs"
    changes = () if before is None else (Change(setting.name, json.dumps(before), json.dumps(value)),)
    operation = PutSetting(bucket, setting.name, setting.write, value)
    what = f"{setting.name} of bucket {bucket}"
    return Action(f"bucket/{setting.name}", Kind.UPDATE, what, why, operation, after, changes=changes)


@dataclass(frozen=True, slots=True)
class CreateBucket:
    """Create the bucket. One of ours that exists already is success.

    Source: S3 API reference, CreateBucket: us-east-1 takes no LocationConstraint, every other region needs it.
    """

    bucket: str
    region: str
    account: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        where: dict[str, Any] = {}
        if self.region != "us-east-1":
            where = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        try:
            doors.cloud.call("s3", "CreateBucket", Bucket=self.bucket, **where)
        except Conflict as error:
            if _listing(doors.cloud, self.bucket, self.account) is None:
                raise Refused(error.why, where=f"bucket {self.bucket}", hint="bucket.name in pcinfra.yaml") from error


@dataclass(frozen=True)
class PutSetting:
    """Write one setting of the bucket."""

    bucket: str
    name: str
    write: str
    value: Any

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        doors.cloud.call("s3", self.write, Bucket=self.bucket, **_request(self.name, self.value))


@dataclass(frozen=True, slots=True)
class PutFolders:
    """Write the empty objects that S3 browsers show as folders."""

    bucket: str
    prefixes: tuple[str, ...]

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        for prefix in self.prefixes:
            doors.cloud.call("s3", "PutObject", Bucket=self.bucket, Key=prefix, Body=b"")


@dataclass(frozen=True, slots=True)
class DeleteBucket:
    """Delete every version and delete marker, then the bucket.

    Source: S3 API reference, DeleteObjects: at most 1000 keys a call, and failures come in ``Errors``.
    """

    bucket: str

    def start(self, doors: Doors, results: Mapping[str, Any]) -> None:
        try:
            self._empty(doors.cloud)
            doors.cloud.call("s3", "DeleteBucket", Bucket=self.bucket)
        except NotFound:
            return

    def _empty(self, cloud: Cloud) -> None:
        while True:
            page = cloud.call("s3", "ListObjectVersions", Bucket=self.bucket, MaxKeys=1000)
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if not versions:
                return
            keys = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions]
            answer = cloud.call("s3", "DeleteObjects", Bucket=self.bucket, Delete={"Objects": keys, "Quiet": True})
            for refused in answer.get("Errors", []):
                raise CloudError(
                    f"{refused['Code']}: {refused['Message']}", where=f"s3://{self.bucket}/{refused['Key']}",
                    code=refused["Code"],
                )  # fmt: skip
