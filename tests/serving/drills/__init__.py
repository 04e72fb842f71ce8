"""What goes wrong around a gateway, done to a real process of `plaudit serve`."""
