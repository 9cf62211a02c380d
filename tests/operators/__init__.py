"""What operators of clouds see: doctor, console, traces, metrics, audit events, backups."""
