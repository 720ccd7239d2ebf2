"""What runs inside the processes of the real services.

Nothing here is imported by the tests themselves.
"""
