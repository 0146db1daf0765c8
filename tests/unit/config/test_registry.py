"""Registries: registering, looking up, and being the type of a field."""

from __future__ import annotations

import json
import pickle
import sys
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import MappingProxyType
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from nshtrainer.config import Config
from nshtrainer.config.named import NamedConfig
from nshtrainer.config.registry import Registry
from nshtrainer.exceptions import RegistryError


class PetBase(NamedConfig):
    @abstractmethod
    def sound(self) -> str: ...


pet_registry = Registry(PetBase, kind="pet", entry_point_group="nshtrainer.tests.pets")


@pet_registry.register
class CatConfig(PetBase):
    name: Literal["cat"] = "cat"
    lives: int = 9

    def sound(self) -> str:
        return "meow"


@pet_registry.register
class DogConfig(PetBase):
    name: Literal["dog"] = "dog"
    friend: PetBase | None = None

    def sound(self) -> str:
        return "woof"


class HomeConfig(Config):
    pet: PetBase = CatConfig()
    others: tuple[PetBase, ...] = ()


@pytest.fixture(autouse=True)
def _scoped() -> Iterator[None]:
    with pet_registry.scoped():
        yield


def late_parrot() -> type[PetBase]:
    @pet_registry.register
    class ParrotConfig(PetBase):
        name: Literal["parrot"] = "parrot"
        words: tuple[str, ...] = ()

        def sound(self) -> str:
            return "hello"

    return ParrotConfig


def message(value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        HomeConfig(pet=value)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])) + ": " + error["msg"]


def test_it_is_a_mapping_of_names_to_classes():
    assert dict(pet_registry) == {"cat": CatConfig, "dog": DogConfig}
    assert (len(pet_registry), "cat" in pet_registry) == (2, True)
    assert pet_registry["dog"] is DogConfig
    assert repr(pet_registry) == "<registry of pets>"
    assert pet_registry != Registry(
        type("OtherBase", (NamedConfig,), {}), kind="pet", entry_point_group="none"
    )


def test_an_unknown_name_is_a_key_error_that_suggests_the_nearest():
    with pytest.raises(KeyError, match="unknown pet 'cap'; did you mean 'cat'"):
        pet_registry["cap"]


@pytest.mark.parametrize(
    "value",
    [
        {"name": "cat", "lives": 3},
        MappingProxyType({"name": "cat", "lives": 3}),
        CatConfig(lives=3),
    ],
)
def test_a_field_takes_a_mapping_or_an_instance(value: Any):
    assert HomeConfig(pet=value).pet == CatConfig(lives=3)


def test_a_field_takes_a_bare_name():
    assert HomeConfig.model_validate({"pet": "dog"}).pet == DogConfig()


def test_an_instance_passes_as_it_is():
    cat = CatConfig(lives=3)
    assert HomeConfig(pet=cat).pet is cat


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"name": "cta"},
            "pet.name: unknown pet 'cta'; did you mean 'cat'? (registered: cat, dog)",
        ),
        ("zebra", "pet: unknown pet 'zebra' (registered: cat, dog)"),
        ({"lives": 3}, "pet: which pet? add 'name: ...' (registered: cat, dog)"),
        ({"name": 3}, "pet.name: the name of the pet must be a string (got 3)"),
        ({"name": ["cat"]}, "pet.name: the name of the pet must be a string (got ['cat'])"),
        (3, "pet: write the pet as a mapping with a 'name', or give a config (got 3)"),
        (None, "pet: write the pet as a mapping with a 'name', or give a config (got null)"),
        ({"name": "cat", "lives": True}, "pet.lives: must be a whole number (got true)"),
    ],
)
def test_what_is_no_member_is_refused_at_its_place(value: Any, expected: str):
    assert message(value) == expected


def test_a_class_registered_after_the_users_config_works_everywhere():
    class Nested(Config):
        homes: tuple[HomeConfig, ...] = ()

    class Plain(BaseModel):
        pet: PetBase | None = None

    ParrotConfig = late_parrot()  # noqa: N806 - it is a class
    parrot = {"name": "parrot", "words": ["hi"]}
    expected = ParrotConfig(words=("hi",))  # type: ignore[call-arg]
    assert HomeConfig.model_validate({"pet": parrot, "others": [parrot]}).others == (expected,)
    assert Nested.model_validate({"homes": [{"pet": parrot}]}).homes[0].pet == expected
    assert Plain.model_validate_json(json.dumps({"pet": parrot})).pet == expected
    assert TypeAdapter(dict[str, PetBase]).validate_python({"a": parrot}) == {"a": expected}


@pytest.mark.parametrize(
    "options", [{}, {"exclude_defaults": True}, {"exclude_unset": True}, {"exclude_none": True}]
)
def test_dumping_keeps_the_fields_of_the_subclass_and_its_name(options: dict[str, Any]):
    home = HomeConfig(pet=DogConfig(friend=CatConfig(lives=1)))
    dumped = home.model_dump(**options)
    assert dumped["pet"]["name"] == "dog"
    assert dumped["pet"]["friend"] == {"name": "cat", "lives": 1}
    assert HomeConfig.model_validate(dumped) == home
    assert HomeConfig.model_validate_json(home.model_dump_json(**options)) == home


def test_configs_with_components_hash_and_pickle():
    home = HomeConfig(pet=DogConfig(friend=CatConfig(lives=1)))
    assert pickle.loads(pickle.dumps(home)) == home
    assert len({home, HomeConfig(pet=DogConfig(friend=CatConfig(lives=1)))}) == 1


def test_the_json_schema_is_the_union_of_what_is_registered_now():
    def members() -> dict[str, str]:
        schema = HomeConfig.model_json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        return schema["$defs"]["Pet"]["discriminator"]["mapping"]

    assert set(members()) == {"cat", "dog"}
    late_parrot()
    assert set(members()) == {"cat", "dog", "parrot"}


def test_the_json_schema_accepts_a_nested_config_and_refuses_a_wrong_one():
    validator = jsonschema.Draft202012Validator(HomeConfig.model_json_schema())
    good = HomeConfig(pet=DogConfig(friend=CatConfig())).model_dump(mode="json")
    assert validator.is_valid(good)
    good["pet"]["friend"]["lives"] = "many"
    assert not validator.is_valid(good)


def test_an_instance_of_an_unregistered_class_says_how_to_register_it():
    class FoxConfig(PetBase):
        name: Literal["fox"] = "fox"

        def sound(self) -> str:
            return "?"

    text = message(FoxConfig())
    assert "FoxConfig is not registered, so this config could not be read back" in text
    assert "@pet_registry.register" in text


def test_an_undecorated_subclass_does_not_pass_for_its_parent():
    class SilentCatConfig(CatConfig):
        def sound(self) -> str:
            return ""

    text = message(SilentCatConfig())
    assert "belongs to" in text
    assert "CatConfig; give it a name of its own and register it" in text


def test_a_taken_name_is_refused_and_both_classes_are_named():
    with pytest.raises(
        RegistryError, match=r"'cat' is already taken by .*CatConfig; .*TigerConfig"
    ):

        @pet_registry.register
        class TigerConfig(CatConfig):
            def sound(self) -> str:
                return "roar"


def test_registering_a_class_twice_changes_nothing():
    assert pet_registry.register(CatConfig) is CatConfig
    assert pet_registry["cat"] is CatConfig


def test_a_name_may_be_taken_over_on_purpose():
    @pet_registry.register(override=True)
    class TigerConfig(CatConfig):
        pass

    assert pet_registry["cat"] is TigerConfig


def test_the_same_class_defined_again_replaces_the_older_one():
    first, second = late_parrot(), late_parrot()
    assert pet_registry["parrot"] is second is not first
    stale = first(words=("hi",))  # type: ignore[call-arg]
    assert type(HomeConfig(pet=stale).pet) is second


def test_the_same_file_run_as_main_replaces_the_imported_one(monkeypatch: pytest.MonkeyPatch):
    first = late_parrot()
    monkeypatch.setattr(first, "__module__", "__main__")
    monkeypatch.setattr("nshtrainer.config.lazy_index._file", lambda _: "train.py")
    second = late_parrot()
    assert pet_registry["parrot"] is second is not first


def test_classes_without_a_file_are_told_apart_by_their_module():
    def fish(module: str) -> type[Any]:
        body = {
            "__module__": module,
            "__qualname__": "FishConfig",
            "sound": lambda _: "",
            "__annotations__": {"name": Literal["fish"]},
            "name": "fish",
        }
        return type(PetBase)("FishConfig", (PetBase,), body)

    pet_registry.register(fish("somewhere"))
    with pytest.raises(RegistryError, match=r"already taken by somewhere\.FishConfig"):
        pet_registry.register(fish("elsewhere"))


def test_what_is_no_subclass_cannot_be_registered():
    with pytest.raises(RegistryError, match="derive it from PetBase"):
        pet_registry.register(HomeConfig)  # type: ignore[type-var]


def test_an_abstract_class_is_told_what_to_write():
    class SilentConfig(PetBase):
        name: Literal["silent"] = "silent"

    with pytest.raises(RegistryError, match="SilentConfig is abstract: write its sound"):
        pet_registry.register(SilentConfig)


@pytest.mark.parametrize("annotation", [str, Literal[1]])
def test_a_class_without_a_literal_name_is_told_what_to_write(annotation: Any):
    class NamelessConfig(PetBase):
        name: annotation  # pyright: ignore[reportInvalidTypeForm]

        def sound(self) -> str:
            return ""

    with pytest.raises(RegistryError, match=r'write `name: Literal\["my_name"\] = "my_name"`'):
        pet_registry.register(NamelessConfig)


def test_a_literal_name_without_a_default_gets_one():
    @pet_registry.register
    class OwlConfig(PetBase):
        name: Literal["owl"]

        def sound(self) -> str:
            return "hoo"

    assert OwlConfig().name == "owl"  # type: ignore[call-arg]
    assert HomeConfig.model_validate({"pet": {"name": "owl"}}).pet.sound() == "hoo"


# -- threads ---------------------------------------------------------------------------------------


def bird(at: int) -> type[PetBase]:
    body = {
        "__module__": __name__,
        "__annotations__": {"name": Literal[f"bird{at}"]},
        "name": f"bird{at}",
        "sound": lambda _: "tweet",
    }
    return type(f"Bird{at}Config", (PetBase,), body)


@pytest.fixture
def _hasty() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_hasty")
def test_validation_in_threads_knows_every_class_that_other_threads_have_registered() -> None:
    registered: list[type[PetBase]] = []

    def register() -> None:
        registered.extend(pet_registry.register(bird(at)) for at in range(300))

    def validate() -> None:
        while len(registered) < 300:
            newest: list[Any] = [cls() for cls in registered[-3:]]
            HomeConfig(pet="cat", others=(*newest, *(pet.name for pet in newest)))
            assert len(pet_registry.summaries()) >= len(newest)
            assert "cat" in pet_registry.unknown("bat")

    with ThreadPoolExecutor(5) as pool:
        tasks = [pool.submit(validate) for _ in range(4)] + [pool.submit(register)]
    assert [task.exception() for task in tasks] == [None] * 5
    assert [cls for cls in registered if pet_registry.get(cls().name) is not cls] == []


@pytest.mark.usefixtures("_hasty")
def test_of_threads_that_take_one_name_one_gets_it() -> None:
    def register(cls: type[PetBase]) -> bool:
        barrier.wait()
        try:
            pet_registry.register(cls)
        except RegistryError:
            return False
        return True

    for at in range(20):
        classes = [type(f"Of{n}Config", (bird(at),), {"__module__": __name__}) for n in range(4)]
        barrier = Barrier(len(classes))
        with ThreadPoolExecutor(len(classes)) as pool:
            assert sum(pool.map(register, classes)) == 1
