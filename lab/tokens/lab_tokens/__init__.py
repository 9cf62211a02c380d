"""Token providers of Keystone's retired formats, for labs only: nothing revives them in clouds."""
