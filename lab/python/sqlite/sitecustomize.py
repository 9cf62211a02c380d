"""SQLite's manners under several threads, which a cloud on MariaDB does not need.

oslo.db opens each transaction with a deferred BEGIN. In SQLite such a reader cannot become a writer
once another has committed: "database is locked" at once, whatever the timeout. So writers begin
IMMEDIATE and wait for their turn; readers stay as they are.

SQLite also keeps no foreign key unless it is told to: what Keystone leaves to the database to
delete would stay, and meet what is made under the same number later.

oslo.db connects anew for each transaction, and SQLite reads the whole schema each time: more work
than the request. Connections are kept, as on MariaDB.
"""

import importlib.util
import sys

ENGINE = "oslo_db.sqlalchemy.enginefacade"


def patch(module):
    from sqlalchemy import event, pool

    factory = module._TransactionFactory
    setup = factory._setup_for_connection
    session, connection = factory._create_session, factory._create_connection

    def setup_for_connection(self, url, engine_kwargs, maker_kwargs):
        made = setup(self, url, {**engine_kwargs, "sqlite_fk": True}, maker_kwargs)
        if made[0].dialect.name == "sqlite":
            anew = made[0].pool
            if isinstance(anew, pool.NullPool):
                made[0].pool = pool.QueuePool(
                    anew._creator,
                    max_overflow=-1,
                    _dispatch=anew.dispatch,
                    dialect=made[0].dialect,
                )

            @event.listens_for(made[0], "before_cursor_execute", retval=True)
            def begin(conn, cursor, statement, parameters, context, many):
                if statement == "BEGIN" and not conn.get_execution_options().get("lab_reader"):
                    statement = "BEGIN IMMEDIATE"
                return statement, parameters

        return made

    def create_session(self, mode, bind=None):
        if mode is not module._WRITER and bind is None:
            if not self._started:
                self._start()
            bind = self._writer_engine.execution_options(lab_reader=True)
        return session(self, mode, bind)

    def create_connection(self, mode):
        made = connection(self, mode)
        return made if mode is module._WRITER else made.execution_options(lab_reader=True)

    factory._setup_for_connection = setup_for_connection
    factory._create_session = create_session
    factory._create_connection = create_connection


class Finder:
    """Patches the module when it is first imported."""

    def find_spec(self, name, path=None, target=None):
        if name != ENGINE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
