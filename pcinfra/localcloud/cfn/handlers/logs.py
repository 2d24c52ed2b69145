"""AWS::Logs types."""

from __future__ import annotations

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, names


def _create_group(context: Context, properties: Json) -> Made:
    logs = context.client("logs")
    name = properties.get("LogGroupName") or context.name(512)
    extra: Json = {"tags": dict(context.tags)} if context.tags else {}
    if "KmsKeyId" in properties:
        extra["kmsKeyId"] = properties["KmsKeyId"]
    logs.create_log_group(logGroupName=name, **extra)
    context.begun(name)
    _retain(context, name, properties)
    return Made(name, {"Arn": f"{_arn(context, name)}:*"})


def _arn(context: Context, name: str) -> str:
    return f"arn:aws:logs:{context.region}:{context.account}:log-group:{name}"


def _retain(context: Context, name: str, properties: Json) -> None:
    logs = context.client("logs")
    if "RetentionInDays" in properties:
        logs.put_retention_policy(logGroupName=name, retentionInDays=properties["RetentionInDays"])
    else:
        logs.delete_retention_policy(logGroupName=name)


def _update_group(context: Context, existing: Existing, properties: Json) -> Json:
    logs, name = context.client("logs"), existing.physical_id
    _retain(context, name, properties)
    present = set(logs.list_tags_log_group(logGroupName=name).get("tags", {}))
    if present - set(context.tags):
        logs.untag_log_group(logGroupName=name, tags=sorted(present - set(context.tags)))
    if context.tags:
        logs.tag_log_group(logGroupName=name, tags=dict(context.tags))
    return existing.attributes


def _delete_group(context: Context, existing: Existing) -> None:
    context.client("logs").delete_log_group(logGroupName=existing.physical_id)


TRANSFORMATION = {
    "MetricName": "metricName",
    "MetricNamespace": "metricNamespace",
    "MetricValue": "metricValue",
    "DefaultValue": "defaultValue",
    "Unit": "unit",
}


def _transformation(row: Json) -> Json:
    result = {TRANSFORMATION[key]: value for key, value in row.items() if key in TRANSFORMATION}
    if "defaultValue" in result:
        result["defaultValue"] = float(result["defaultValue"])
    if row.get("Dimensions"):
        result["dimensions"] = {item["Key"]: item["Value"] for item in row["Dimensions"]}
    return result


def _put_filter(context: Context, name: str, properties: Json) -> None:
    context.client("logs").put_metric_filter(
        logGroupName=properties["LogGroupName"],
        filterName=name,
        filterPattern=properties["FilterPattern"],
        metricTransformations=[_transformation(row) for row in properties["MetricTransformations"]],
    )


def _create_filter(context: Context, properties: Json) -> Made:
    name = properties.get("FilterName") or context.name(512)
    _put_filter(context, name, properties)
    return Made(name)


def _update_filter(context: Context, existing: Existing, properties: Json) -> Json:
    _put_filter(context, existing.physical_id, properties)
    return existing.attributes


def _delete_filter(context: Context, existing: Existing) -> None:
    context.client("logs").delete_metric_filter(
        logGroupName=existing.properties["LogGroupName"], filterName=existing.physical_id
    )


HANDLERS = (
    Handler(
        "AWS::Logs::LogGroup",
        names("LogGroupName RetentionInDays KmsKeyId Tags"),
        _create_group,
        _delete_group,
        _update_group,
    ),
    Handler(
        "AWS::Logs::MetricFilter",
        names("FilterName LogGroupName FilterPattern MetricTransformations"),
        _create_filter,
        _delete_filter,
        _update_filter,
    ),
)
