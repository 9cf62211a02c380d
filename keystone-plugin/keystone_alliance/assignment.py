"""Assignment driver that tells the daemon which tokens may have lost a role.

Keystone stores no revocation event for that: it looks roles up anew at each validation.
"""

from keystone.assignment.backends import sql

from keystone_alliance import poke


class Assignment(sql.Assignment):
    """``[assignment] driver = alliance``."""

    def delete_grant(
        self,
        role_id,
        user_id=None,
        group_id=None,
        domain_id=None,
        project_id=None,
        inherited_to_projects=False,
    ):
        """Take a role from a user or a group in a project or a domain."""
        super().delete_grant(
            role_id, user_id, group_id, domain_id, project_id, inherited_to_projects
        )
        # An inherited role is one in other projects too.
        where = {} if inherited_to_projects or domain_id else {'project_id': project_id}
        poke.look_again(**({'user_id': user_id} if user_id else {}), **where)

    def delete_role_assignments(self, role_id):
        """Take a role from everybody."""
        super().delete_role_assignments(role_id)
        poke.look_again()

    def delete_domain_assignments(self, domain_id):
        """Take all roles in a domain."""
        super().delete_domain_assignments(domain_id)
        poke.look_again()

    def delete_group_assignments(self, group_id):
        """Take all roles of a group."""
        super().delete_group_assignments(group_id)
        poke.look_again()
