"""Holds KServe resources against the models of KServe's own Python package: every field must be one of its
classes', of its kind. The classes are read, not run: to import them takes half of the package's world.

    python check-kserve.py FOLDER_OF_PACKAGE < RESOURCES.json
"""

import ast
import json
import re
import sys
from pathlib import Path

models = Path(sys.argv[1]) / "kserve" / "models"
scalars = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", "_", name).lower()


def tables(name):
    """The class's types and names of fields, or None for Kubernetes's own classes, which are checked elsewhere."""
    file = models / f"{snake(name)}.py"
    if not file.exists():
        return None
    found = {}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("openapi_types", "attribute_map"):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return {found["attribute_map"][key]: kind for key, kind in found["openapi_types"].items()}


def check(value, kind, path):
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        assert isinstance(value, list), f"{path}: a list is expected"
        for index, one in enumerate(value):
            check(one, inner[1], f"{path}[{index}]")
    elif inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        assert isinstance(value, dict), f"{path}: a mapping is expected"
        for key, one in value.items():
            check(one, inner[1], f"{path}.{key}")
    elif kind in scalars:
        assert isinstance(value, scalars[kind]), f"{path}: {kind} is expected, not {value!r}"
    elif (fields := tables(kind)) is not None:
        for key, one in value.items():
            assert key in fields, f"{path}.{key} is no field of {kind}"
            check(one, fields[key], f"{path}.{key}")


roots = {"ServingRuntime": "V1alpha1ServingRuntime", "InferenceService": "V1beta1InferenceService"}
for resource in json.load(sys.stdin):
    assert tables(roots[resource["kind"]]) is not None, f"the package has no {resource['kind']}"
    check(resource, roots[resource["kind"]], resource["kind"])
