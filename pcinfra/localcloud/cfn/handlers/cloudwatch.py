"""AWS::CloudWatch types."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn.handlers.base import Context, Existing, Handler, Json, Made, fit, input_shape, names

ALARM_KEYS = names(
    "AlarmName AlarmDescription ActionsEnabled OKActions AlarmActions InsufficientDataActions MetricName Namespace"
    " Statistic ExtendedStatistic Dimensions Period Unit EvaluationPeriods DatapointsToAlarm Threshold"
    " ComparisonOperator TreatMissingData EvaluateLowSampleCountPercentile Metrics ThresholdMetricId"
)
COMPOSITE_KEYS = names(
    "AlarmName AlarmDescription AlarmRule ActionsEnabled OKActions AlarmActions InsufficientDataActions"
)


def _arn(context: Context, name: str) -> Json:
    return {"Arn": f"arn:aws:cloudwatch:{context.region}:{context.account}:alarm:{name}"}


def _put_alarm(context: Context, name: str, properties: Json) -> None:
    client = context.client("cloudwatch")
    wanted = {key: value for key, value in properties.items() if key != "Tags"} | {"AlarmName": name}
    tags = {"Tags": context.tag_list()} if context.tags else {}
    client.put_metric_alarm(**fit(wanted, input_shape(client, "PutMetricAlarm"), "Alarm"), **tags)


def _create_alarm(context: Context, properties: Json) -> Made:
    name = properties.get("AlarmName") or context.name(255)
    _put_alarm(context, name, properties)
    return Made(name, _arn(context, name))


def _update_alarm(context: Context, existing: Existing, properties: Json) -> Json:
    _put_alarm(context, existing.physical_id, properties)
    return existing.attributes


def _delete_alarm(context: Context, existing: Existing) -> None:
    context.client("cloudwatch").delete_alarms(AlarmNames=[existing.physical_id])


def _create_composite(context: Context, properties: Json) -> Made:
    name = properties.get("AlarmName") or context.name(255)
    _put_composite(context, name, properties)
    return Made(name, _arn(context, name))


def _put_composite(context: Context, name: str, properties: Json) -> None:
    """Store the alarm. Where moto has no PutCompositeAlarm only the stack knows of it; nothing evaluates its rule."""
    client = context.client("cloudwatch")
    wanted = {key: value for key, value in properties.items() if key != "Tags"} | {"AlarmName": name}
    try:
        client.put_composite_alarm(**fit(wanted, input_shape(client, "PutCompositeAlarm"), "CompositeAlarm"))
    except NotImplementedError:
        return
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotImplemented":
            raise


def _update_composite(context: Context, existing: Existing, properties: Json) -> Json:
    _put_composite(context, existing.physical_id, properties)
    return existing.attributes


def _create_dashboard(context: Context, properties: Json) -> Made:
    name = properties.get("DashboardName") or context.name(255)
    _put_dashboard(context, name, properties)
    return Made(name)


def _put_dashboard(context: Context, name: str, properties: Json) -> None:
    body = properties["DashboardBody"]
    context.client("cloudwatch").put_dashboard(
        DashboardName=name, DashboardBody=body if isinstance(body, str) else json.dumps(body)
    )


def _update_dashboard(context: Context, existing: Existing, properties: Json) -> Json:
    _put_dashboard(context, existing.physical_id, properties)
    return existing.attributes


def _delete_dashboard(context: Context, existing: Existing) -> None:
    context.client("cloudwatch").delete_dashboards(DashboardNames=[existing.physical_id])


HANDLERS = (
    Handler("AWS::CloudWatch::Alarm", ALARM_KEYS | {"Tags"}, _create_alarm, _delete_alarm, _update_alarm),
    Handler(
        "AWS::CloudWatch::CompositeAlarm",
        COMPOSITE_KEYS | {"Tags"},
        _create_composite,
        _delete_alarm,
        _update_composite,
    ),
    Handler(
        "AWS::CloudWatch::Dashboard",
        names("DashboardName DashboardBody"),
        _create_dashboard,
        _delete_dashboard,
        _update_dashboard,
    ),
)
