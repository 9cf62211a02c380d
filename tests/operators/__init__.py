"""What a user of west does at east when both are whole clouds: servers, volumes, images."""
