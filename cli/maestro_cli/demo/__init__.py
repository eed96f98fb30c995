"""`maestro demo`: the stage and the play."""
