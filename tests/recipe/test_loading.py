from __future__ import annotations

import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from babysit.errors import BabysitError, InputError, RecipeError, SpaceError
from babysit.recipe.building import prepare
from babysit.recipe.builtin import BUILTIN
from babysit.recipe.loading import apply_settings, load_recipe, parse_settings
from babysit.recipe.recipe import Hyperparameters
from babysit.recipe.space import Fixed, choice, log_uniform, middle, sample, uniform, when
from babysit.recipe.template import TEMPLATE

ONE = """
    import babysit as bs
    from torch import nn

    def data():
        return bs.data.digits()

    def model(hp):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    recipe = bs.Recipe(data, model, space=dict(learning_rate=1e-3))
"""


@pytest.fixture
def write(tmp_path):
    def written(text, name="mine.py"):
        file = tmp_path / name
        file.write_text(textwrap.dedent(text))
        return str(file)

    return written


def refusal(text):
    with pytest.raises(RecipeError) as caught:
        load_recipe(text)
    assert caught.value.fix
    return str(caught.value)


def test_every_built_in_recipe_loads_by_its_name():
    for name in BUILTIN:
        assert load_recipe(name).name == name


@pytest.mark.parametrize(
    ("typed", "meant"), [("digit", "digits"), ("cifar-10", "cifar10"), ("fashion_mnist", "fashion-mnist")]
)
def test_an_unknown_built_in_gets_a_hint(typed, meant):
    assert f"did you mean {meant!r}" in refusal(typed)


def test_a_name_like_no_other_gets_the_list():
    message = refusal("xyzzy")
    assert all(name in message for name in BUILTIN)


def test_a_missing_file_is_named(tmp_path):
    message = refusal(str(tmp_path / "absent.py"))
    assert "absent.py" in message
    assert "babysit new" in message


@pytest.mark.parametrize("name", ["folder", "folder.py"])
def test_a_directory_is_called_a_directory(tmp_path, name):
    (tmp_path / name).mkdir()
    assert "is a directory" in refusal(str(tmp_path / name))


def test_a_file_of_another_kind_is_refused(write):
    assert "no Python file" in refusal(write("learning_rate: 1", "recipe.yaml"))


def test_a_syntax_error_names_the_users_own_line(write):
    file = write("import os\n\ndef model(hp:\n    pass\n")
    message = refusal(file)
    assert f"{file}:3" in message
    assert "SyntaxError" in message
    assert "importlib" not in message


def test_a_file_that_is_no_text_is_refused_with_its_name(tmp_path):
    (tmp_path / "binary.py").write_bytes(b"x = '\xff\xfe'\n")
    assert "binary.py" in refusal(str(tmp_path / "binary.py"))


def test_what_a_file_raises_at_import_names_its_line(write):
    file = write("import os\n\nvalue = 1 / 0\n")
    message = refusal(file)
    assert f"{file}:3" in message
    assert "ZeroDivisionError: " not in message.split(file)[0]
    assert "division by zero" in message


@pytest.mark.parametrize(
    "line", ["import json; json.loads('{')", "import numpy; numpy.linalg.inv(numpy.zeros((2, 2)))"]
)
def test_the_line_named_is_the_users_even_when_a_library_raised(write, line):
    file = write(f"pass\n{line}\n")
    assert f"{file}:2" in refusal(file)


def test_a_module_that_is_missing_is_named(write):
    assert "no_such_module_at_all" in refusal(write("import no_such_module_at_all\n"))


def test_a_script_that_exits_is_an_error_not_an_exit(write):
    file = write("import sys\nsys.exit(0)\n")
    assert f"{file}:2" in refusal(file)


def test_a_file_without_a_recipe_says_how_to_make_one(write):
    assert "recipe = bs.Recipe(" in refusal(write("x = 1\n"))


def test_a_recipe_class_without_an_instance_is_no_recipe(write):
    assert "holds no recipe" in refusal(write("from babysit import Recipe\n"))


def test_a_mistake_inside_a_recipe_keeps_its_own_message(write):
    with pytest.raises(InputError, match="no update rule named 'sdg'"):
        load_recipe(write(ONE.replace("model, space", "model, update='sdg', space")))


TWO = ONE + "    other = bs.Recipe(data, model, batch_size=7, space=dict(learning_rate=1e-3))\n"


def test_of_several_recipes_the_one_named_recipe_is_taken(write):
    assert load_recipe(write(TWO)).batch_size == 100


def test_several_recipes_must_be_told_apart(write):
    message = refusal(write(TWO.replace("recipe =", "first =")))
    assert "first, other" in message
    assert ".py:first" in message


def test_a_recipe_is_found_by_its_name(write):
    assert load_recipe(write(TWO) + ":other").batch_size == 7


def test_a_name_that_the_file_lacks_lists_what_it_holds(write):
    assert "recipe, other" in refusal(write(TWO) + ":third")


def test_a_file_names_its_recipe_unless_it_has_a_name(write):
    assert load_recipe(write(ONE, "my_net.py")).name == "my_net"
    assert load_recipe(write(ONE.replace("model, space", "model, name='given', space"))).name == "given"


def test_a_file_that_fails_leaves_no_module_behind(write):
    refusal(write("1 / 0\n", "half.py"))
    assert "babysit_recipe_half" not in sys.modules


def test_a_changed_file_is_read_again(write):
    assert load_recipe(write(ONE)).batch_size == 100
    assert load_recipe(write(ONE.replace("model, space", "model, batch_size=3, space"))).batch_size == 3


def test_the_template_loads_and_validates(write):
    recipe = load_recipe(write(TEMPLATE.replace("{path}", "mine.py")))
    prepare(recipe, seed=0).validate(middle(recipe.full_space()))


def changed(*settings, **options):
    return apply_settings(load_recipe("digits"), settings, **options)


def test_settings_replace_what_the_recipe_says():
    recipe = changed(
        "learning_rate=log_uniform(1e-4, 1e-2)", "hidden=choice(20, 30)", "batch_size=25", "epochs=2"
    )
    assert recipe.space["learning_rate"] == log_uniform(1e-4, 1e-2)
    assert recipe.space["hidden"] == choice(20, 30)
    assert recipe.full_space()["batch_size"] == Fixed(25)
    assert recipe.epochs == 2
    assert load_recipe("digits").epochs == 10


def test_of_a_setting_given_twice_the_last_counts():
    assert changed("l2=1", "l2=2").space["l2"] == Fixed(2)


def test_another_update_rule_brings_its_own_hyperparameters():
    recipe = changed("update=adam", "beta1=0.8")
    assert recipe.full_space()["beta1"] == Fixed(0.8)
    assert "momentum" not in recipe.full_space()


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("learning_rte=1", "learning_rate"),
        ("hiden=3", "hidden"),
        ("batchsize=5", "batch_size"),
    ],
)
def test_an_unknown_setting_gets_a_hint(setting, hint):
    with pytest.raises(SpaceError, match=f"did you mean '{hint}'"):
        changed(setting)


@pytest.mark.parametrize("setting", ["learning_rate", "=3", "l2=", "  = ", ""])
def test_a_setting_that_is_no_assignment_is_refused(setting):
    with pytest.raises(SpaceError, match="name=value"):
        parse_settings([setting])


@pytest.mark.parametrize(
    "setting",
    [
        "learning_rate=abc",
        "learning_rate=nan",
        "learning_rate=inf",
        "learning_rate=0",
        "learning_rate=-1e-3",
        "learning_rate=true",
        "learning_rate=uniform(0, 1)",
        "learning_rate=choice(1e-3, 'fast')",
        "learning_rate_decay=0",
        "learning_rate_decay=1.5",
        "l2=-1",
        "l2=uniform(-1, 1)",
        "momentum=1",
        "momentum=-0.1",
        "momentum=uniform(0.5, 1.5)",
        "batch_size=0",
        "batch_size=2.5",
        "batch_size=-5",
        "batch_size=ten",
        "batch_size=uniform(10, 20)",
        "warm_up_epochs=-1",
        "epochs=0",
        "epochs=2.5",
        "epochs=-3",
        "epochs=true",
        "epochs=choice(1, 2)",
        "update=3",
        "update=sgdd",
        "loss=crossentropy",
        "schedule=cosin",
    ],
)
def test_an_impossible_value_is_refused_by_name_with_a_fix(setting):
    with pytest.raises(InputError) as caught:
        changed(setting)
    assert setting.split("=")[0].split("_")[0] in caught.value.problem
    assert caught.value.fix


def test_zero_l2_and_zero_momentum_are_possible():
    assert changed("l2=0", "momentum=0").space["l2"] == Fixed(0)


def test_zero_epochs_are_refused_by_whatever_way_they_come():
    with pytest.raises(SpaceError, match="epochs = 0"):
        changed(epochs=0)


def test_every_refusal_can_be_caught_at_the_root():
    with pytest.raises(BabysitError):
        changed("nothing=1")


def test_rules_are_searched_from_the_command_line():
    recipe = changed(
        "update=choice(sgd, momentum)",
        "momentum=when(update, momentum, uniform(0.5,0.99))",
        "schedule=cosine",
    )
    assert recipe.options("update") == ("sgd", "momentum")
    assert recipe.schedule == "cosine"
    assert recipe.full_space()["momentum"] == when("update", "momentum", uniform(0.5, 0.99))


def test_fixing_a_rule_that_the_recipe_searches_keeps_its_conditions():
    recipe = apply_settings(load_recipe("cifar10-deep"), ["update=adam"])
    assert recipe.options("update") == ("adam",)
    assert recipe.full_space()["beta1"] == Fixed(0.9)


def test_preprocessing_and_initialization_keep_their_brackets():
    recipe = changed(
        "preprocessing=pca(components=20)", "initialization=choice(he, small_random(scale=0.01))"
    )
    assert recipe.space["preprocessing"] == Fixed("pca(components=20)")
    assert recipe.space["initialization"] == choice("he", "small_random(scale=0.01)")


def test_points_of_the_command_line_come_before_the_recipes_own():
    recipe = replace(load_recipe("digits"), enqueue=[{"l2": 0.1}])
    found = apply_settings(recipe, ["hidden=50"], enqueue=["learning_rate=1e-3,l2=1", "hidden=50"])
    assert found.enqueue == ({"learning_rate": 1e-3, "l2": 1.0}, {"hidden": 50}, {"l2": 0.1})


@pytest.mark.parametrize(
    ("settings", "enqueue"),
    [
        ([], ["learning_rat=1e-3"]),
        ([], ["learning_rate=10"]),
        ([], ["learning_rate"]),
        ([], ["hidden=50"]),
        (["update=choice(sgd, adma)"], []),
        (["update=log_uniform(1, 2)"], []),
        (["momentum=when(updte, momentum, 0.9)"], []),
        (["preprocessing=whitening"], []),
        (["loss=choice(softmax, hinge)"], []),
        (["learning_rate=loguniform(1e-6, 1e-3)"], []),
    ],
)
def test_what_cannot_be_searched_is_refused_with_a_fix(settings, enqueue):
    with pytest.raises(InputError) as caught:
        changed(*settings, enqueue=enqueue)
    assert caught.value.fix


def test_a_condition_may_wait_for_a_rule_that_is_not_the_present_one():
    recipe = changed("update=adam", "momentum=when(update, momentum, uniform(0.5, 0.9))", "hidden=5")
    assert "momentum" not in middle(recipe.full_space())
    prepare(recipe, seed=0).validate(middle(recipe.full_space()))
    with pytest.raises(SpaceError, match="'momentum'"):
        changed("update=adam", "momentum=0.9")


def test_the_deep_recipe_searches_networks_that_fit_its_images():
    recipe = load_recipe("cifar10-deep")
    trials = [sample(recipe.full_space(), np.random.default_rng(seed)) for seed in range(6)]
    assert {trial["update"] for trial in trials} == {"momentum", "adam"}
    for trial in trials:
        model = recipe.model(Hyperparameters(trial))
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        assert (
            sum(isinstance(layer, nn.BatchNorm1d) for layer in model) == trial["batch_norm"] * trial["depth"]
        )


@pytest.mark.parametrize("schedule", ["cosine", "choice(step, cosine)", "choice(multiplicative, cosine)"])
def test_a_decay_that_no_schedule_reads_any_more_is_no_stranger(schedule):
    recipe = changed(f"schedule={schedule}", "hidden=5")
    assert ("learning_rate_decay" in recipe.full_space()) == ("multiplicative" in schedule)
    prepare(recipe, seed=0).validate(middle(recipe.full_space()))
