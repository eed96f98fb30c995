"""The handlers of the REST calls, and the bodies they take."""
