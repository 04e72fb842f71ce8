"""Labels that change after freezing are seen in a report and nowhere else."""

import pytest
from sqlalchemy import select

from ab_testing.sensitivity import sensitivity
from ab_testing.standing import evidence_of
from infra.db.tables import experiment_states, labels
from tests.ab_testing.world import FREEZE_AFTER, World


def test_late_labels_move_the_report_and_never_the_test(small_world: World) -> None:
    world = small_world
    world.start()
    visits = world.visits(60, challenger=0.0, control=0.0)
    world.write(visits)
    world.look(2 * FREEZE_AFTER)
    with world.database.reading() as connection:
        before = sensitivity(connection, world.experiment())
        states = connection.execute(select(experiment_states)).all()
    assert [(found.metric, found.people, found.changed, found.effect_now) for found in before] == [
        ("love", 60, 0, 0.0),
        ("harm", 60, 0, 0.0),
    ]
    late = [interaction for interaction, _values in visits if interaction.arm == "challenger"][:6]
    treated = sum(interaction.arm == "challenger" for interaction, _values in visits)
    with world.database.transaction() as connection:
        for interaction in late:
            row = world.label(interaction, {"love": 1.0, "harm": 0.0}, 2, interaction.created_at + FREEZE_AFTER + 1)
            connection.execute(labels.insert().values(**row))
    world.look(1.0)
    with world.database.reading() as connection:
        love, harm = sensitivity(connection, world.experiment())
        evidence = evidence_of(connection, world.experiment())["challenger"].metrics[0]
        assert connection.execute(select(experiment_states)).all() == states
    assert (love.people, love.changed, love.effect_counted) == (60, 6, 0.0)
    assert love.effect_now == pytest.approx(6 / treated)
    assert (harm.changed, harm.effect_now) == (0, 0.0)
    assert evidence.rate_challenger == 0.0
