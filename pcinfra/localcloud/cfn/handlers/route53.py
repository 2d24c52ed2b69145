"""AWS::Route53 types."""

from __future__ import annotations

import uuid

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, names, refuse_changes


def _create_zone(context: Context, properties: Json) -> Made:
    route53 = context.client("route53")
    vpcs = properties.get("VPCs", [])
    extra: Json = {}
    if vpcs:
        extra = {"VPC": _vpc(vpcs[0]), "HostedZoneConfig": {"PrivateZone": True}}
    answer = route53.create_hosted_zone(Name=properties["Name"], CallerReference=str(uuid.uuid4()), **extra)
    zone = answer["HostedZone"]["Id"].split("/")[-1]
    context.begun(zone)
    for vpc in vpcs[1:]:
        route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=_vpc(vpc))
    _tag_zone(context, zone, properties)
    return Made(zone, {"Id": zone, "NameServers": answer.get("DelegationSet", {}).get("NameServers", [])})


def _vpc(row: Json) -> Json:
    return {"VPCId": row["VPCId"], "VPCRegion": row["VPCRegion"]}


def _tag_zone(context: Context, zone: str, properties: Json) -> None:
    own = {tag["Key"]: tag["Value"] for tag in properties.get("HostedZoneTags", [])}
    tags = [{"Key": key, "Value": value} for key, value in {**context.tags, **own}.items()]
    if tags:
        context.client("route53").change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone, AddTags=tags)


def _update_zone(context: Context, existing: Existing, properties: Json) -> Json:
    refuse_changes(existing, properties, "VPCs")
    route53, zone = context.client("route53"), existing.physical_id
    found = route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone)["ResourceTagSet"]["Tags"]
    wanted = {*context.tags, *(tag["Key"] for tag in properties.get("HostedZoneTags", []))}
    stale = [tag["Key"] for tag in found if tag["Key"] not in wanted]
    if stale:
        route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone, RemoveTagKeys=stale)
    _tag_zone(context, zone, properties)
    return existing.attributes


def _delete_zone(context: Context, existing: Existing) -> None:
    context.client("route53").delete_hosted_zone(Id=existing.physical_id)


def _change_record(context: Context, action: str, properties: Json) -> None:
    record: Json = {"Name": properties["Name"], "Type": properties["Type"]}
    record["TTL"] = int(properties.get("TTL", 300))
    record["ResourceRecords"] = [{"Value": value} for value in properties.get("ResourceRecords", [])]
    context.client("route53").change_resource_record_sets(
        HostedZoneId=properties["HostedZoneId"],
        ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]},
    )


def _create_record(context: Context, properties: Json) -> Made:
    _change_record(context, "CREATE", properties)
    return Made(properties["Name"])


def _update_record(context: Context, existing: Existing, properties: Json) -> Json:
    _change_record(context, "UPSERT", properties)
    return existing.attributes


def _delete_record(context: Context, existing: Existing) -> None:
    _change_record(context, "DELETE", existing.properties)


HANDLERS = (
    Handler("AWS::Route53::HostedZone", names("Name VPCs HostedZoneTags"), _create_zone, _delete_zone, _update_zone),
    Handler(
        "AWS::Route53::RecordSet",
        names("Name Type TTL ResourceRecords HostedZoneId"),
        _create_record,
        _delete_record,
        _update_record,
    ),
)
