"""Migrations bring an empty or earlier database to exactly the tables that the rooms define."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

import lineshaft.ledger.store
import lineshaft.rooms.connect.store
import lineshaft.rooms.decide.schedule.store
import lineshaft.rooms.decide.tables
import lineshaft.rooms.history.calculation_store
import lineshaft.rooms.history.import_store
import lineshaft.rooms.history.store
import lineshaft.rooms.plant.store
import lineshaft.rooms.twins.store
import lineshaft.web.accounts
import lineshaft.web.desk
import lineshaft.web.sessions
import lineshaft.web.tokens  # noqa: F401
from lineshaft.records import metadata, open_records
from lineshaft.records.migrate import HEAD, migrate, version_of


def test_an_empty_folder_gets_the_present_tables(tmp_path: Path) -> None:
    file = tmp_path / "records.sqlite"
    assert version_of(file) == ""
    migrate(file)
    assert version_of(file) == HEAD
    with open_records(file).connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "records.sqlite"
    migrate(file)
    migrate(file)
    assert version_of(file) == HEAD


def test_a_step_that_fails_leaves_no_tables(tmp_path: Path) -> None:
    file = tmp_path / "records.sqlite"
    with open_records(file).begin() as connection:
        connection.execute(text("CREATE TABLE signals (what INTEGER)"))
    with pytest.raises(Exception, match="signals"):
        migrate(file)
    with open_records(file).connect() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type='table'"))
        assert {name for (name,) in tables} == {"signals"}


def test_the_database_is_opened_for_power_loss(tmp_path: Path) -> None:
    with open_records(tmp_path / "x.sqlite").connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
