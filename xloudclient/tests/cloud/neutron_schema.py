#  Licensed under the Apache License, Version 2.0 (the "License"); you may
#  not use this file except in compliance with the License. You may obtain
#  a copy of the License at
#
#       http://www.apache.org/licenses/LICENSE-2.0
#
#  Unless required by applicable law or agreed to in writing, software
#  distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#  WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#  License for the specific language governing permissions and limitations
#  under the License.

"""Make Neutron's database: run as a module with the database's URL.

Neutron's migrations alter constraints, which SQLite cannot do.  So the schema
comes from the models, as in Neutron's own unit tests, and the rows that a
migration would have added (the rules of each project's default security
group) follow.
"""

import pathlib
import runpy
import sys

import sqlalchemy as sa
from neutron.db import migration
from neutron.db.migration.models import head

REVISION = 'c33da356b165'  # security_group_default_rules


def main(url: str) -> None:
    """Make all tables and the default rules."""
    metadata = head.get_metadata()
    engine = sa.create_engine(url)
    metadata.create_all(engine)
    attributes = metadata.tables['standardattributes']
    table = metadata.tables['securitygroupdefaultrules']
    # not importable: its folder's name has a dot
    [path] = pathlib.Path(migration.__file__).parent.glob(
        f'alembic_migrations/versions/*/*/{REVISION}_*.py'
    )
    with engine.begin() as conn:
        for rule in runpy.run_path(str(path))['default_template_rules']:
            rule['standard_attr_id'] = conn.execute(
                sa.insert(attributes).values(
                    description=rule.pop('description'),
                    resource_type=table.name,
                )
            ).inserted_primary_key[0]
            conn.execute(sa.insert(table).values(**rule))


if __name__ == '__main__':
    main(sys.argv[1])
