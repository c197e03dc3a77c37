"""Public keys that the tests give, made for them; nobody has the private ones."""

from __future__ import annotations

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHZAj2id3P7/1SIK0jQ5b6NFpQrHy+LbOzbITqvytxQR"
RSA_1024 = (
    "ssh-rsa "
    "AAAAB3NzaC1yc2EAAAADAQABAAAAgQC9rY3cQUDx47bkuYVHp8gwowkFiJIhQUhQ3o2h7suOFtbVDJ/Aq9v3OymDIWaPIBm4KWcF"
    "BIsxD3RmEEPuN+0Ny/cfTq2o+MeoKHuEg3JUdDGJ073Eta6n4KbN+ChHqyu1pBITqKkP1eUkSDrLloCdNDKSPtDTNKpFJtsYwu8z"
    "5w=="
)
RSA_2048 = (
    "ssh-rsa "
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQDDZDbODJba163OvnxM68zFgwPYjQfuyrav4sAu4jDc4kGonD0afd2fyvE8zXOS8Y1zWcit"
    "55acXD3Y9+9NIm9IMigIWuM9obptJ3UQHhUd21zZ+J/0bn0yD+IVIPh//Rum6dCg+7YzSZOTr/86QBYQ6Ab25RqICqLAuv/3w3S+"
    "GU/qlsQCc6hZPXRoXpIQCShNv5de13Jqn2RD3lbYkyKo9FulhIRaGyqUkMLBm9Rcd0Ekf5NpINCn99wyIdHZjj8yvEuVtyrAR5xb"
    "6FXDuoIzX2qF05wxhJySgfTanyOrlfwL01ZhSnGvv89gKAgPow/kE9lS240iO1KKi9DmeLZv"
)
DSA = "ssh-dss AAAAB3NzaC1kc3M="
