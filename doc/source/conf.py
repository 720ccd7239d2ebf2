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

project = 'xloudclient'
copyright = 'OpenStack contributors'

extensions = [
    'cliff.sphinxext',
    'openstackdocstheme',
    'sphinx.ext.autodoc',
]

openstackdocs_repo_name = 'openstack/xloudclient'
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False
openstackdocs_pdf_link = False

html_theme = 'openstackdocs'
pygments_style = 'native'
templates_path = []
exclude_patterns = []

autoprogram_cliff_application = 'openstack'
# cliff's own, the same for every command of the client
autoprogram_cliff_ignored = [
    '--help',
    '--format',
    '--column',
    '--sort-column',
    '--sort-ascending',
    '--sort-descending',
    '--max-width',
    '--fit-width',
    '--print-empty',
    '--noindent',
    '--quote',
    '--prefix',
]

man_pages = [
    (
        'cli/index',
        'openstack-xloudclient',
        'Application-consistent snapshots of OpenStack servers',
        ['OpenStack contributors'],
        1,
    ),
]
