"""What the tests need to act as users and operators of real clouds."""
