import NN
import TensorCore

/// Where a training stands.
public struct TrainingPlace: Sendable {
  /// Updates done, from 0.
  public let step: Int
  /// Updates in all.
  public let totalSteps: Int
  /// The run's seed; draws that are functions of it and `step` come out the same in a resumed run.
  public let seed: UInt64
  /// What the update multiplies every gradient by, which is how clipping is applied; 1 outside the update.
  public let gradientScale: Double

  public init(step: Int, totalSteps: Int, seed: UInt64, gradientScale: Double = 1) {
    (self.step, self.totalSteps, self.seed, self.gradientScale) = (step, totalSteps, seed, gradientScale)
  }
}

/// What a method does in training beside its share of the output: a term of the loss, actions around the update. One for
/// each attached adapter. Methods subclass it.
///
/// The order in a step: `beforeStep`, forward passes and `regularization`, backward, the gradients' norm, `beforeUpdate`, the
/// optimizer, `afterUpdate`; then the gradients are forgotten.
open class MethodTraining {
  public init() {}

  /// Before the first step of a run, or of what is left of it. Throws for options that do not fit the run.
  open func begin(_ place: TrainingPlace) throws {}
  /// Before the forward passes of a step.
  open func beforeStep(_ place: TrainingPlace) throws {}
  /// A scalar that is added to the mean loss; nil: none.
  open func regularization() throws -> Tensor? { nil }
  /// Gradients are there, not yet multiplied by `place.gradientScale`, and may be changed.
  open func beforeUpdate(_ place: TrainingPlace) throws {}
  /// The optimizer has changed the parameters; gradients are still there, as in `beforeUpdate`, and `place.step`
  /// is that of the update.
  open func afterUpdate(_ place: TrainingPlace) throws {}
  /// Everything beside parameters that the rest of the run depends on, by name.
  open func state() throws -> [(name: String, tensor: Tensor)] { [] }
  /// Goes on from what `state()` returned. Throws for what does not fit.
  open func load(_ state: [String: Tensor]) throws {}
}
