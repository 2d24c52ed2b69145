"""AWS::EC2 security groups and their rules."""

from __future__ import annotations

import secrets

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn.errors import ResourceFailure
from pcinfra.localcloud.cfn.handlers.base import (
    Context,
    Create,
    Delete,
    Existing,
    Handler,
    Json,
    Made,
    Update,
    error_code,
    is_gone,
    names,
)
from pcinfra.localcloud.cfn.handlers.ec2tags import retag, tag

ALL_OUT = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
PEER = {"ingress": "SourceSecurityGroupId", "egress": "DestinationSecurityGroupId"}
PREFIX_LIST = {"ingress": "SourcePrefixListId", "egress": "DestinationPrefixListId"}


def permission(rule: Json, direction: str) -> Json:
    """An EC2 IpPermission for a rule as CloudFormation writes it; ``direction`` is ingress or egress."""
    result: Json = {"IpProtocol": rule["IpProtocol"]}
    if rule["IpProtocol"] != "-1":
        result |= {key: rule[key] for key in ("FromPort", "ToPort") if key in rule}
    text = {"Description": rule["Description"]} if rule.get("Description") else {}
    if "CidrIp" in rule:
        result["IpRanges"] = [{"CidrIp": rule["CidrIp"], **text}]
    if "CidrIpv6" in rule:
        result["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **text}]
    if PEER[direction] in rule:
        result["UserIdGroupPairs"] = [{"GroupId": rule[PEER[direction]], **text}]
    if PREFIX_LIST[direction] in rule:
        result["PrefixListIds"] = [{"PrefixListId": rule[PREFIX_LIST[direction]], **text}]
    return result


def _create_group(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    where = {"VpcId": properties["VpcId"]} if "VpcId" in properties else {}
    name = properties.get("GroupName") or context.name(255)
    group = ec2.create_security_group(GroupName=name, Description=properties["GroupDescription"], **where)["GroupId"]
    context.begun(group)
    tag(context, group)
    _authorize(context, group, "ingress", properties.get("SecurityGroupIngress", []))
    if properties.get("SecurityGroupEgress"):
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[ALL_OUT])
        _authorize(context, group, "egress", properties["SecurityGroupEgress"])
    vpc = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"]
    return Made(group, {"GroupId": group, "Id": group, "VpcId": vpc})


def _authorize(context: Context, group: str, direction: str, rules: list[Json]) -> None:
    for rule in rules:
        call = getattr(context.client("ec2"), f"authorize_security_group_{direction}")
        call(GroupId=group, IpPermissions=[permission(rule, direction)])


def _revoke(context: Context, group: str, direction: str, rules: list[Json]) -> None:
    for rule in rules:
        call = getattr(context.client("ec2"), f"revoke_security_group_{direction}")
        try:
            call(GroupId=group, IpPermissions=[permission(rule, direction)])
        except ClientError as error:
            if not is_gone(error):
                raise


def _update_group(context: Context, existing: Existing, properties: Json) -> Json:
    """Source: AWS::EC2::SecurityGroup: a group without egress rules allows everything out."""
    group = existing.physical_id
    everything: Json = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}
    for direction, key in (("ingress", "SecurityGroupIngress"), ("egress", "SecurityGroupEgress")):
        default = [everything] if direction == "egress" else []
        old = existing.properties.get(key) or default
        new = properties.get(key) or default
        _revoke(context, group, direction, [rule for rule in old if rule not in new])
        _authorize(context, group, direction, [rule for rule in new if rule not in old])
    retag(context, group)
    return existing.attributes


def _delete_group(context: Context, existing: Existing) -> None:
    """Source: DeleteSecurityGroup: DependencyViolation while a network interface uses the group."""
    ec2 = context.client("ec2")
    filters = [{"Name": "group-id", "Values": [existing.physical_id]}]
    users = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    if users:
        raise ClientError(
            {
                "Error": {
                    "Code": "DependencyViolation",
                    "Message": f"resource {existing.physical_id} has a dependent object"
                    f" ({users[0]['NetworkInterfaceId']})",
                }
            },
            "DeleteSecurityGroup",
        )
    ec2.delete_security_group(GroupId=existing.physical_id)


def _create_rule(direction: str) -> Create:
    def create(context: Context, properties: Json) -> Made:
        """Source: authorizing a rule that exists fails with InvalidPermission.Duplicate; moto forgets it for egress."""
        if "GroupId" not in properties:
            raise ResourceFailure("not implemented by the local cloud: security group rules by GroupName")
        wanted = permission(properties, direction)
        group = properties["GroupId"]
        if direction == "egress" and _same(ALL_OUT, wanted):
            return _adopt_default(context, group, wanted)
        if _present(context, group, direction, wanted):
            raise ClientError(
                {"Error": {"Code": "InvalidPermission.Duplicate", "Message": "the specified rule already exists"}},
                f"AuthorizeSecurityGroup{direction.capitalize()}",
            )
        call = getattr(context.client("ec2"), f"authorize_security_group_{direction}")
        rows = call(GroupId=group, IpPermissions=[wanted]).get("SecurityGroupRules") or []
        rule_id = rows[0]["SecurityGroupRuleId"] if rows else f"sgr-{secrets.token_hex(9)[:17]}"
        return Made(rule_id, {"Id": rule_id})

    return create


def _adopt_default(context: Context, group: str, wanted: Json) -> Made:
    """A rule that says what every new group allows anyway is taken as made.

    Source: ParallelCluster's own templates add such a rule to groups that still have it, and AWS makes them.
    """
    if not _present(context, group, "egress", wanted):
        context.client("ec2").authorize_security_group_egress(GroupId=group, IpPermissions=[wanted])
    rule_id = f"sgr-{secrets.token_hex(9)[:17]}"
    return Made(rule_id, {"Id": rule_id})


def _present(context: Context, group: str, direction: str, wanted: Json) -> bool:
    row = context.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    key = "IpPermissions" if direction == "ingress" else "IpPermissionsEgress"
    return any(_same(entry, wanted) for entry in row[key])


def _same(entry: Json, wanted: Json) -> bool:
    if any(entry.get(key) != wanted.get(key) for key in ("IpProtocol", "FromPort", "ToPort")):
        return False
    for key, field in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("UserIdGroupPairs", "GroupId")):
        have = {item.get(field) for item in entry.get(key, [])}
        if not {item[field] for item in wanted.get(key, [])} <= have:
            return False
    return True


def _update_rule(direction: str) -> Update:
    def update(context: Context, existing: Existing, properties: Json) -> Json:
        """Source: only the description of a rule can change in place."""
        call = getattr(context.client("ec2"), f"update_security_group_rule_descriptions_{direction}")
        call(GroupId=properties["GroupId"], IpPermissions=[permission(properties, direction)])
        return existing.attributes

    return update


def _delete_rule(direction: str) -> Delete:
    def delete(context: Context, existing: Existing) -> None:
        try:
            call = getattr(context.client("ec2"), f"revoke_security_group_{direction}")
            call(GroupId=existing.properties["GroupId"], IpPermissions=[permission(existing.properties, direction)])
        except ClientError as error:
            if error_code(error) not in ("InvalidPermission.NotFound", "InvalidGroup.NotFound"):
                raise

    return delete


RULE = "GroupId IpProtocol FromPort ToPort CidrIp CidrIpv6 Description"

HANDLERS = (
    Handler(
        "AWS::EC2::SecurityGroup",
        names("GroupName GroupDescription VpcId SecurityGroupIngress SecurityGroupEgress Tags"),
        _create_group,
        _delete_group,
        _update_group,
    ),
    Handler(
        "AWS::EC2::SecurityGroupIngress",
        names(f"{RULE} SourceSecurityGroupId SourcePrefixListId"),
        _create_rule("ingress"),
        _delete_rule("ingress"),
        _update_rule("ingress"),
    ),
    Handler(
        "AWS::EC2::SecurityGroupEgress",
        names(f"{RULE} DestinationSecurityGroupId DestinationPrefixListId"),
        _create_rule("egress"),
        _delete_rule("egress"),
        _update_rule("egress"),
    ),
)
