"""Names of models and aliases: what MLflow reserves or refuses is refused by the Config, so by `plan` already."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from artifacts.errors import UserError
from pipelines import graph
from steps.promote.config import Config as Promote
from steps.register.config import Config as Register
from steps.registry_names import check_alias, check_model, check_version

ALIASES = ["latest", "LATEST", "Latest", "v1", "V12", "v007", "7", "0", "", " ", "a/b", "a:b", "a@b", "Champion", "ünder",
           "-a", "_a", "a b", "a\n", "a" * 256, "٣"]  # fmt: skip
NAMES = [
    "",
    " ",
    "a/b",
    "a:b",
    "..",
    ".",
    "../x",
    "..x",
    "/x",
    "a\nb",
    "a'b",
    "x.history",
    " x",
    "x ",
    "x" * 300,
    "models:/x",
]


@pytest.mark.parametrize("alias", ALIASES)
def test_configs_reject_reserved_and_invalid_aliases(alias):
    with pytest.raises(ValueError, match="alias"):
        Register(checkpoint="c", report="r", alias=alias)
    with pytest.raises(ValueError, match="alias"):
        Promote(model="m", alias=alias)


@pytest.mark.parametrize("name", NAMES)
def test_configs_reject_invalid_model_names(name):
    with pytest.raises(ValueError, match="name"):
        Register(checkpoint="c", report="r", name=name)
    if name:
        with pytest.raises(ValueError, match="name"):
            Promote(rollback=name)


@pytest.mark.parametrize("candidate", ["latest", "v3", "0", "-1", "1.5", ""])
def test_candidate_must_be_a_version_number_or_an_alias(candidate):
    with pytest.raises(ValueError, match="alias"):
        check_version(candidate)
    assert check_version("12") == "12"
    assert check_version("challenger") == "challenger"


@pytest.mark.parametrize("alias", ["latest", "v2", "Vier", "''"])
def test_loading_a_pipeline_rejects_invalid_aliases(alias):
    with pytest.raises(UserError, match=r"node 'register': parameter alias=.*alias") as refused:
        graph.load("tiny", [f"register.alias={alias}"])
    assert refused.value.exit_code == 2
    assert "Value error" not in str(refused.value)


@given(st.text(alphabet="abv0129_-.:/ LATESTlatest", max_size=12))
@example("lates")
@example("version1")
@example("v1-2")
def test_mlflow_accepts_all_aliases_and_names_that_configs_accept(text):
    for ours, theirs in (
        (check_alias, (validation._validate_model_alias_name, validation._validate_model_alias_name_reserved)),
        (check_model, (validation._validate_model_name,)),
    ):
        try:
            ours(text)
        except ValueError:
            continue
        for check in theirs:
            check(text)


def test_mlflow_reserves_latest_and_version_aliases():
    for alias in ("latest", "LaTesT", "v1", "V99"):
        with pytest.raises(MlflowException, match="reserved"):
            validation._validate_model_alias_name_reserved(alias)
