"""What a user of west does at east, for each format of token that west may issue."""
