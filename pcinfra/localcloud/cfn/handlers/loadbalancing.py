"""AWS::ElasticLoadBalancingV2 types, as ParallelCluster makes them for login nodes."""

from __future__ import annotations

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, fit, input_shape, names

BALANCER_KEYS = ("Name", "Type", "Scheme", "Subnets", "SubnetMappings", "SecurityGroups", "IpAddressType")
GROUP_KEYS = (
    "Name", "Protocol", "Port", "VpcId", "TargetType", "HealthCheckProtocol", "HealthCheckPort", "HealthCheckEnabled",
    "HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount",
    "HealthCheckPath", "IpAddressType",
)  # fmt: skip
LISTENER_KEYS = ("LoadBalancerArn", "Port", "Protocol", "DefaultActions")


def _request(context: Context, operation: str, properties: Json, keys: tuple[str, ...]) -> Json:
    shape = input_shape(context.client("elbv2"), operation)
    wanted = {key: properties[key] for key in keys if key in properties}
    request: Json = fit(wanted, shape, operation)
    return request | ({"Tags": context.tag_list()} if context.tags else {})


def _create_balancer(context: Context, properties: Json) -> Made:
    request = {"Name": context.name(32)} | _request(context, "CreateLoadBalancer", properties, BALANCER_KEYS)
    elb = context.client("elbv2")
    row = elb.create_load_balancer(**request)["LoadBalancers"][0]
    arn = row["LoadBalancerArn"]
    context.begun(arn)
    if properties.get("LoadBalancerAttributes"):
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=properties["LoadBalancerAttributes"])
    attributes = {
        "LoadBalancerArn": arn,
        "DNSName": row["DNSName"],
        "CanonicalHostedZoneID": row.get("CanonicalHostedZoneId", ""),
        "LoadBalancerFullName": arn.partition(":loadbalancer/")[2],
        "LoadBalancerName": row["LoadBalancerName"],
        "SecurityGroups": row.get("SecurityGroups", []),
    }
    return Made(arn, attributes)


def _delete_balancer(context: Context, existing: Existing) -> None:
    context.client("elbv2").delete_load_balancer(LoadBalancerArn=existing.physical_id)


def _create_group(context: Context, properties: Json) -> Made:
    request = {"Name": context.name(32)} | _request(context, "CreateTargetGroup", properties, GROUP_KEYS)
    elb = context.client("elbv2")
    row = elb.create_target_group(**request)["TargetGroups"][0]
    arn = row["TargetGroupArn"]
    context.begun(arn)
    if properties.get("TargetGroupAttributes"):
        elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=properties["TargetGroupAttributes"])
    attributes = {
        "TargetGroupArn": arn,
        "TargetGroupFullName": arn.rpartition(":")[2],
        "TargetGroupName": row["TargetGroupName"],
        "LoadBalancerArns": row.get("LoadBalancerArns", []),
    }
    return Made(arn, attributes)


def _delete_group(context: Context, existing: Existing) -> None:
    context.client("elbv2").delete_target_group(TargetGroupArn=existing.physical_id)


def _create_listener(context: Context, properties: Json) -> Made:
    request = _request(context, "CreateListener", properties, LISTENER_KEYS)
    arn = context.client("elbv2").create_listener(**request)["Listeners"][0]["ListenerArn"]
    context.begun(arn)
    return Made(arn, {"ListenerArn": arn})


def _delete_listener(context: Context, existing: Existing) -> None:
    context.client("elbv2").delete_listener(ListenerArn=existing.physical_id)


def _retag(context: Context, existing: Existing, _properties: Json) -> Json:
    """Only tags can change in place here; stack tags come along."""
    if context.tags:
        context.client("elbv2").add_tags(ResourceArns=[existing.physical_id], Tags=context.tag_list())
    return existing.attributes


HANDLERS = (
    Handler(
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        frozenset(BALANCER_KEYS) | names("LoadBalancerAttributes Tags"),
        _create_balancer,
        _delete_balancer,
        _retag,
    ),
    Handler(
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        frozenset(GROUP_KEYS) | names("TargetGroupAttributes Tags"),
        _create_group,
        _delete_group,
        _retag,
    ),
    Handler("AWS::ElasticLoadBalancingV2::Listener", frozenset(LISTENER_KEYS), _create_listener, _delete_listener),
)
