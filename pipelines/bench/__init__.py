"""Speed side by side: one file per `handloom bench NAME`."""
