"""The image folder: pinned, quoted and consistent. Nothing here needs torch, docker or a network."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys

import pytest

from pcinfra import assets

FOLDER = assets.folder("containers") / "pytorch"
PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.]*")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: continued lines joined, comments left out."""
    lines = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, rest in pairs]


def of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_base_image_is_pinned_by_tag() -> None:
    assert len(of("FROM")) == 1
    _, _, tag = of("FROM")[0].rpartition(":")
    assert re.match(r"\d+\.\d+\.\d+-gpu-py\d+-cu\d+-", tag)
    assert "latest" not in tag


def test_pipes_of_run_fail() -> None:
    names = [name for name, _ in instructions()]
    assert names.index("SHELL") < names.index("RUN")
    assert json.loads(of("SHELL")[0]) == ["/bin/bash", "-euo", "pipefail", "-c"]


def test_redirects_of_run_are_meant() -> None:
    """An unquoted requirement such as ``a>=1`` is a redirect to a file named ``=1``."""
    for command in of("RUN"):
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        targets = [words[place + 1] for place, word in enumerate(words) if set(word) & {">", "<"}]
        assert all(re.fullmatch(r"[a-z]+\.txt", target) for target in targets), targets


def test_every_requirement_is_exact() -> None:
    lines = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(lines)
    assert all(PIN.fullmatch(line) for line in lines), lines
    inline = [word for command in of("RUN") for word in shlex.split(command) if re.search(r"[=<>~!]=", word)]
    assert [word for word in inline if not word.startswith("^")] == ["flash-attn==2.7.4.post1"]
    assert '"flash-attn==2.7.4.post1"' in (FOLDER / "Dockerfile").read_text()


def test_pip_keeps_the_base_images_torch() -> None:
    installs = [part for command in of("RUN") for part in command.split("&&") if "pip install" in part]
    assert len(installs) == 2
    for install in installs:
        assert {"--no-cache-dir", "--constraint"} <= set(shlex.split(install))


def test_context_is_what_the_dockerfile_copies() -> None:
    ignore = (FOLDER / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = {word for copy in of("COPY") for word in copy.split()[:-1]}
    assert allowed == copied | {"Dockerfile"}
    assert all((FOLDER / name).is_file() for name in allowed)


def test_deepspeed_configuration_is_complete() -> None:
    config = json.loads((FOLDER / "ds_config.json").read_text())
    assert config["zero_optimization"]["stage"] in (2, 3)
    assert config["bf16"]["enabled"] is True
    assert config["optimizer"]["params"]["lr"] == config["scheduler"]["params"]["warmup_max_lr"]
    batch = config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"]
    assert config.get("train_batch_size", batch) % batch == 0


SCRIPTS = pytest.mark.parametrize("script", ["resume.py", "train_ddp.py", "train_distributed_deepspeed.py"])


@SCRIPTS
def test_script_compiles_for_the_image(script: str) -> None:
    source = (FOLDER / script).read_text()
    ast.parse(source, feature_version=(3, 11))
    compile(source, script, "exec")


@SCRIPTS
def test_script_imports_only_what_the_image_has(script: str) -> None:
    tree = ast.parse((FOLDER / script).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    beside = {path.stem for path in FOLDER.glob("*.py")}
    third_party = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - beside
    assert third_party <= {"torch", "deepspeed", "transformers"}


@pytest.mark.parametrize(
    "variable", ["PCINFRA_RUN_DIR", "PCINFRA_ATTEMPT", "PCINFRA_STOP_FILE", "PCINFRA_CHECKPOINTS", "DONE"]
)
def test_the_jobs_contract_is_followed(variable: str) -> None:
    tree = ast.parse((FOLDER / "resume.py").read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert variable in texts
