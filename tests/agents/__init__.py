"""What the tests of real agents need: a stand-in for the model, and the agents themselves."""
