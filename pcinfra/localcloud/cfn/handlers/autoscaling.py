"""AWS::AutoScaling::AutoScalingGroup, as ParallelCluster makes it for login nodes. Its instances are EC2's."""

from __future__ import annotations

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, is_gone, names, refuse_changes

SIZES = ("MinSize", "MaxSize", "DesiredCapacity")
_FIXED = ("VPCZoneIdentifier", "TargetGroupARNs", "LifecycleHookSpecificationList")


def _sizes(properties: Json) -> Json:
    return {key: int(properties[key]) for key in SIZES if key in properties}


def _template(properties: Json) -> Json:
    return {key: str(value) for key, value in properties["LaunchTemplate"].items()}


def _tags(context: Context, properties: Json, group: str) -> list[Json]:
    """Source: AWS::AutoScaling::AutoScalingGroup, Tags: PropagateAtLaunch is required; stack tags are propagated."""
    own = {tag["Key"]: str(tag.get("PropagateAtLaunch", True)).lower() == "true" for tag in properties.get("Tags", [])}
    kind = {"ResourceId": group, "ResourceType": "auto-scaling-group"}
    return [{**kind, "Key": k, "Value": v, "PropagateAtLaunch": own.get(k, True)} for k, v in context.tags.items()]


def _create(context: Context, properties: Json) -> Made:
    client = context.client("autoscaling")
    group = properties.get("AutoScalingGroupName") or context.name(255)
    client.create_auto_scaling_group(
        AutoScalingGroupName=group,
        LaunchTemplate=_template(properties),
        VPCZoneIdentifier=",".join(properties["VPCZoneIdentifier"]),
        TargetGroupARNs=properties.get("TargetGroupARNs", []),
        Tags=_tags(context, properties, group),
        **_sizes(properties),
    )
    context.begun(group)
    for hook in properties.get("LifecycleHookSpecificationList", []):
        settings = {**hook, "HeartbeatTimeout": int(hook["HeartbeatTimeout"])} if "HeartbeatTimeout" in hook else hook
        client.put_lifecycle_hook(AutoScalingGroupName=group, **settings)
    return Made(group, {})


def _update(context: Context, existing: Existing, properties: Json) -> Json:
    refuse_changes(existing, properties, *_FIXED)
    context.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=existing.physical_id, LaunchTemplate=_template(properties), **_sizes(properties)
    )
    _deregister(context, existing.physical_id)
    return existing.attributes


def _deregister(context: Context, group: str) -> None:
    """What a group has ended is no target any more (Auto Scaling user guide, "Attach a load balancer")."""
    balancing = context.client("elbv2")
    found = context.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    for row in found["AutoScalingGroups"]:
        there = {instance["InstanceId"] for instance in row["Instances"]}
        for arn in row.get("TargetGroupARNs", []):
            health = balancing.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            gone = [{"Id": each["Target"]["Id"]} for each in health if each["Target"]["Id"] not in there]
            if gone:
                balancing.deregister_targets(TargetGroupArn=arn, Targets=gone)


def _delete(context: Context, existing: Existing) -> None:
    """Delete it with its instances, and wait until they are gone."""
    client, group = context.client("autoscaling"), existing.physical_id
    found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
    if not found:
        return
    client.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=0, MaxSize=0, DesiredCapacity=0)
    ids = [instance["InstanceId"] for instance in found[0]["Instances"]]
    client.delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
    if ids:
        context.client("ec2").terminate_instances(InstanceIds=ids)
        context.poll(lambda: _ended(context, ids))


def _ended(context: Context, ids: list[str]) -> bool:
    try:
        reservations = context.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
    except Exception as error:
        if is_gone(error):
            return True
        raise
    return all(each["State"]["Name"] == "terminated" for row in reservations for each in row["Instances"])


HANDLERS = (
    Handler(
        "AWS::AutoScaling::AutoScalingGroup",
        names("AutoScalingGroupName LaunchTemplate Tags") | frozenset((*SIZES, *_FIXED)),
        _create,
        _delete,
        _update,
    ),
)
