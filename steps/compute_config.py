"""The framework of a step, its device and precision, and whether layers are compiled: `auto` is resolved as the config is read.

So fingerprint, manifest and the step's process hold the device that was used, as with `threads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from artifacts.errors import UserError
from models import devices
from models.devices import Compute
from models.twins import OF_COMPUTE, missing_choice
from steps.contract import StepConfig


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


Compile = Annotated[
    devices.Compile, BeforeValidator(_word), WithJsonSchema({"enum": ["auto", True, False, "true", "false"]})
]


class DeviceConfig(StepConfig):
    """A step whose result depends on the kind of device that computes it, and on its precision."""

    neutral: ClassVar[Mapping[str, Any]] = {"device": "cpu", "precision": "float32", "compile": "false"}

    device: devices.Device = Field(
        "auto", validate_default=True, description="Device that computes; auto: cuda where there is one, else cpu"
    )
    precision: devices.Precision = Field(
        "auto",
        validate_default=True,
        description="Of matrix products; auto: bfloat16 on a CUDA device that has it, else float32 (arXiv 1710.03740)",
    )

    @field_validator("device")
    @classmethod
    def _resolve_device(cls, device: str) -> str:
        return devices.resolve_device(device)

    @field_validator("precision")
    @classmethod
    def _resolve_precision(cls, precision: str, info: ValidationInfo) -> str:
        # An absent device has its own message.
        return devices.resolve_precision(precision, info.data["device"]) if "device" in info.data else precision

    @property
    def compute(self) -> Compute:
        """Device and precision together."""
        return Compute(self.device, self.precision)


class ComputeConfig(DeviceConfig):
    """A step that computes in a chosen framework, and may compile what it computes with."""

    neutral: ClassVar[Mapping[str, Any]] = {**DeviceConfig.neutral, "framework": "torch"}

    framework: devices.Framework = Field(
        "torch",
        description="Framework that computes; flax and tensorflow need `make setup FRAMEWORKS=1`",
        json_schema_extra={"module": "training.{}.backend"},
    )
    compile: Compile = Field(
        "auto", validate_default=True, description="Compile the layers of a transformer by torch.compile; auto: false"
    )

    @model_validator(mode="after")
    def _framework_has_choices(self) -> ComputeConfig:
        if problem := missing_choice(self.framework, dict(self), OF_COMPUTE):
            raise ValueError(problem)
        return self

    @field_validator("compile")
    @classmethod
    def _resolve_compile(cls, compiled: str) -> str:
        return devices.resolve_compile(compiled)

    def check_framework(self) -> None:
        """UserError if the packages of the framework are not installed. A pipeline that names it can be listed without them."""
        try:
            devices.check_framework(self.framework)
        except ValueError as error:
            raise UserError(str(error), 2) from None

    @property
    def compute(self) -> Compute:
        """All of them together."""
        return Compute(self.device, self.precision, self.compile == "true", self.framework)
