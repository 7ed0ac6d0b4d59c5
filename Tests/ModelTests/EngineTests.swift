import TestSupport
import Testing

/// All tests that run models. One after another: whether operations record gradients is one switch for the process.
@Suite(.serialized, .engine) enum EngineTests {}
