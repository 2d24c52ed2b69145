"""Roles of who submits TrainJobs and PyTorchJobs: too wide ones, and ones that lack what a submission needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pcinfra.jobs.kubernetes.rbac import RIGHTS, Right
from pcinfra.jobs.kubernetes.rules.model import Broken, Rule, Surroundings, down

KINDS = ("Role", "ClusterRole")
_HINT = "pcinfra k8s rbac --on k8s:NAMESPACE --user NAME"
_JOBS = {("trainer.kubeflow.org", "trainjobs"), ("kubeflow.org", "pytorchjobs")}
_CHANGING = ("create", "update", "patch", "delete", "deletecollection", "*")


def _everywhere(value: Mapping[str, Any], around: Surroundings) -> Broken:
    if value["kind"] != "ClusterRole" or not _submits(value):
        return
    for number, rule in _rules(value):
        wide = [resource for resource in ("configmaps", "pods", "secrets") if _grants(rule, "", resource)]
        if wide and _changes(rule):
            why = f"may {_changes(rule)} {' and '.join(wide)} in every namespace, kube-system too"
            yield ("rules", number), why, f"a Role in one namespace: {_HINT}"


def _pods(value: Mapping[str, Any], around: Surroundings) -> Broken:
    if value["kind"] != "Role" or not _submits(value):
        return
    for number, rule in _rules(value):
        if _grants(rule, "", "pods") and _changes(rule):
            why = f"may {_changes(rule)} pods: the operators make them, and who submits need not"
            yield ("rules", number), why, _HINT


def _lacks(value: Mapping[str, Any], around: Surroundings) -> Broken:
    if not _submits(value):
        return
    missing = []
    for right in RIGHTS:
        if (right.group, right.resource) in _JOBS or right.everywhere:
            continue  # for one of the two operators; a Role cannot give what is in no namespace
        verbs = [verb for verb in right.verbs if not any(_allows(rule, right, verb) for _, rule in _rules(value))]
        missing += [f"{' and '.join(verbs)} {right.full} ({right.purpose})"] if verbs else []
    if missing:
        yield ("rules",), f"may not {'; '.join(missing)}", _HINT


def _changes(rule: Mapping[str, Any]) -> str:
    """Return the verbs of a rule that change something; empty where there are none."""
    return ", ".join(verb for verb in _words(rule, "verbs") if verb in _CHANGING)


def _submits(value: Mapping[str, Any]) -> bool:
    """Whether who has this role submits jobs."""
    rules = [rule for _, rule in _rules(value) if {"create", "*"} & set(_words(rule, "verbs"))]
    return any(_grants(rule, *job) for rule in rules for job in _JOBS)


def _rules(value: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rules = value.get("rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, Mapping):
            yield number, rule


def _words(rule: Mapping[str, Any], field: str) -> list[str]:
    found = down(dict(rule), field)
    return [str(word) for word in found] if isinstance(found, list) else []


def _grants(rule: Mapping[str, Any], group: str, resource: str) -> bool:
    groups, resources = _words(rule, "apiGroups"), _words(rule, "resources")
    return bool({group, "*"} & set(groups)) and bool({resource, "*"} & set(resources))


def _allows(rule: Mapping[str, Any], right: Right, verb: str) -> bool:
    return _grants(rule, right.group, right.resource) and bool({verb, "*"} & set(_words(rule, "verbs")))


_SOURCE = 'Kubernetes, "Using RBAC Authorization"'
RULES = (
    Rule("role-everywhere", KINDS, _SOURCE, "who submits a training can change what runs the cluster", _everywhere),
    Rule("role-pods", KINDS, _SOURCE, "who submits a training can start anything beside it", _pods),
    Rule("role-lacks", KINDS, _SOURCE, "pcinfra is refused half-way, with 403", _lacks),
)
