"""AWS::EC2 types of machines: launch templates, instances, interfaces, volumes, placement groups."""

from __future__ import annotations

from botocore.exceptions import ClientError

from pcinfra.localcloud.cfn.handlers.base import (
    Context,
    Existing,
    Handler,
    Json,
    Made,
    fit,
    input_shape,
    is_gone,
    names,
)
from pcinfra.localcloud.cfn.handlers.ec2tags import retag, tag


def _create_interface(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    wanted = {"SubnetId": properties["SubnetId"], "Groups": properties.get("GroupSet", [])}
    wanted |= {key: properties[key] for key in ("Description", "PrivateIpAddress") if key in properties}
    row = ec2.create_network_interface(**wanted)["NetworkInterface"]
    interface = row["NetworkInterfaceId"]
    context.begun(interface)
    tag(context, interface)
    if "SourceDestCheck" in properties:
        value = {"Value": properties["SourceDestCheck"]}
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, SourceDestCheck=value)
    return Made(
        interface,
        {
            "Id": interface,
            "PrimaryPrivateIpAddress": row["PrivateIpAddress"],
            "SecondaryPrivateIpAddresses": [],
            "VpcId": row["VpcId"],
        },
    )


def _update_interface(context: Context, existing: Existing, properties: Json) -> Json:
    ec2, interface = context.client("ec2"), existing.physical_id
    if properties.get("GroupSet") != existing.properties.get("GroupSet"):
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=properties.get("GroupSet", []))
    if properties.get("Description") != existing.properties.get("Description"):
        value = {"Value": properties.get("Description", "")}
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Description=value)
    if "SourceDestCheck" in properties:
        value = {"Value": properties["SourceDestCheck"]}
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, SourceDestCheck=value)
    retag(context, interface)
    return existing.attributes


def _delete_interface(context: Context, existing: Existing) -> None:
    """Delete it, detaching it first from an instance that still has it (moto keeps a terminated one's attachment)."""
    ec2, interface = context.client("ec2"), existing.physical_id
    try:
        ec2.delete_network_interface(NetworkInterfaceId=interface)
    except ClientError as error:
        row = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
        attachment = row.get("Attachment") or {}
        if is_gone(error) or not attachment.get("AttachmentId"):
            raise
        ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"], Force=True)
        ec2.delete_network_interface(NetworkInterfaceId=interface)


def _create_placement_group(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    name = context.name(255)
    wanted = {key: properties[key] for key in ("Strategy", "PartitionCount", "SpreadLevel") if key in properties}
    row = ec2.create_placement_group(GroupName=name, **({"Strategy": "cluster"} | wanted)).get("PlacementGroup", {})
    return Made(name, {"GroupName": name, "GroupId": row.get("GroupId", "")})


def _delete_placement_group(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_placement_group(GroupName=existing.physical_id)


def _template_data(context: Context, properties: Json) -> Json:
    shape = input_shape(context.client("ec2"), "CreateLaunchTemplate").members["LaunchTemplateData"]
    data: Json = fit(properties["LaunchTemplateData"], shape, "LaunchTemplateData")
    return data


def _create_launch_template(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    name = properties.get("LaunchTemplateName") or context.name(128)
    extra = {"VersionDescription": properties["VersionDescription"]} if "VersionDescription" in properties else {}
    row = ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData=_template_data(context, properties), **extra
    )["LaunchTemplate"]
    return Made(row["LaunchTemplateId"], _template_attributes(row))


def _template_attributes(row: Json) -> Json:
    return {
        "LaunchTemplateId": row["LaunchTemplateId"],
        "LatestVersionNumber": str(row["LatestVersionNumber"]),
        "DefaultVersionNumber": str(row["DefaultVersionNumber"]),
    }


def _update_launch_template(context: Context, existing: Existing, properties: Json) -> Json:
    """Source: AWS::EC2::LaunchTemplate: an update makes a new version and leaves the default version alone."""
    if properties["LaunchTemplateData"] == existing.properties["LaunchTemplateData"]:
        return existing.attributes
    row = context.client("ec2").create_launch_template_version(
        LaunchTemplateId=existing.physical_id, LaunchTemplateData=_template_data(context, properties)
    )["LaunchTemplateVersion"]
    return {**existing.attributes, "LatestVersionNumber": str(row["VersionNumber"])}


def _delete_launch_template(context: Context, existing: Existing) -> None:
    context.client("ec2").delete_launch_template(LaunchTemplateId=existing.physical_id)


INSTANCE_KEYS = ("ImageId", "InstanceType", "KeyName", "SubnetId", "SecurityGroupIds", "UserData", "PrivateIpAddress")
INTERFACE_KEYS = ("DeviceIndex", "NetworkInterfaceId", "SubnetId", "Groups")


def _launch_request(context: Context, properties: Json) -> Json:
    request = {key: properties[key] for key in INSTANCE_KEYS if key in properties}
    profile = properties.get("IamInstanceProfile")
    if profile:
        request["IamInstanceProfile"] = {"Name": profile}
    template = properties.get("LaunchTemplate")
    if not template:
        return request
    version = str(template["Version"])
    chosen = {key: template[key] for key in ("LaunchTemplateId", "LaunchTemplateName") if key in template}
    request["LaunchTemplate"] = {**chosen, "Version": version}
    found = context.client("ec2").describe_launch_template_versions(**chosen, Versions=[version])
    data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    # moto reads neither these keys nor the network interface ids from the launch template
    request = {key: data[key] for key in ("ImageId", "InstanceType", "KeyName") if key in data} | request
    interfaces = data.get("NetworkInterfaces") or []
    if interfaces:
        first = interfaces[0]
        request["NetworkInterfaces"] = [{key: first[key] for key in INTERFACE_KEYS if key in first}]
    return request


def _run_instance(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    tags = {**context.tags, **context.system_tags()}
    rows = [{"Key": key, "Value": value} for key, value in tags.items()]
    instance = ec2.run_instances(
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": rows}],
        **_launch_request(context, properties),
    )["Instances"][0]["InstanceId"]
    context.begun(instance)
    context.poll(lambda: _instance(context, instance)["State"]["Name"] == "running")
    row = _instance(context, instance)
    return Made(
        instance,
        {
            "InstanceId": instance,
            "PrivateIp": row.get("PrivateIpAddress", ""),
            "PrivateDnsName": row.get("PrivateDnsName", ""),
            "PublicIp": row.get("PublicIpAddress", ""),
            "PublicDnsName": row.get("PublicDnsName", ""),
            "AvailabilityZone": row["Placement"]["AvailabilityZone"],
            "VpcId": row.get("VpcId", ""),
        },
    )


def _instance(context: Context, instance: str) -> Json:
    found = context.client("ec2").describe_instances(InstanceIds=[instance])
    row: Json = found["Reservations"][0]["Instances"][0]
    return row


def _retag(context: Context, existing: Existing, _properties: Json) -> Json:
    retag(context, existing.physical_id)
    return existing.attributes


def _terminate(context: Context, existing: Existing) -> None:
    context.client("ec2").terminate_instances(InstanceIds=[existing.physical_id])
    context.poll(lambda: _instance(context, existing.physical_id)["State"]["Name"] == "terminated")


VOLUME_KEYS = names("AvailabilityZone Size VolumeType Iops Throughput Encrypted KmsKeyId SnapshotId")


def _create_volume(context: Context, properties: Json) -> Made:
    ec2 = context.client("ec2")
    wanted = {key: value for key, value in properties.items() if key in VOLUME_KEYS}
    volume = ec2.create_volume(**fit(wanted, input_shape(ec2, "CreateVolume"), "Volume"))["VolumeId"]
    context.begun(volume)
    tag(context, volume)
    return Made(volume, {"VolumeId": volume})


def _delete_volume(context: Context, existing: Existing) -> None:
    ec2, volume = context.client("ec2"), existing.physical_id
    row = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
    if row["State"] == "in-use":
        message = f"Volume {volume} is currently attached to {row['Attachments'][0]['InstanceId']}"
        raise ClientError({"Error": {"Code": "VolumeInUse", "Message": message}}, "DeleteVolume")
    ec2.delete_volume(VolumeId=volume)


HANDLERS = (
    Handler(
        "AWS::EC2::NetworkInterface",
        names("SubnetId GroupSet Description PrivateIpAddress SourceDestCheck Tags"),
        _create_interface,
        _delete_interface,
        _update_interface,
    ),
    Handler(
        "AWS::EC2::PlacementGroup",
        names("Strategy PartitionCount SpreadLevel"),
        _create_placement_group,
        _delete_placement_group,
    ),
    Handler(
        "AWS::EC2::LaunchTemplate",
        names("LaunchTemplateName LaunchTemplateData VersionDescription TagSpecifications"),
        _create_launch_template,
        _delete_launch_template,
        _update_launch_template,
    ),
    Handler(
        "AWS::EC2::Instance",
        names("LaunchTemplate IamInstanceProfile PropagateTagsToVolumeOnCreation Tags") | set(INSTANCE_KEYS),
        _run_instance,
        _terminate,
        _retag,
    ),
    Handler("AWS::EC2::Volume", VOLUME_KEYS | {"Tags"}, _create_volume, _delete_volume, _retag),
)
