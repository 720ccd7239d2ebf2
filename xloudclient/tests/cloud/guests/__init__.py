"""The machines that play the servers: a real sshd each, and what runs in it.

account.py   which user a guest is
machine.py   Nova's side: make, start, stop and suspend a guest; its disks
init.py      the guest's first process, which adopts all others
guest.py     the test's side: ssh and databases
bin/         the commands that show a guest its disks
"""
