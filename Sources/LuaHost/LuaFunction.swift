import CLuaBridge
import Diagnostics

/// A function of a script, such as a callback. Keeps the function alive until it is released itself.
///
/// Hold it no longer than the call that received it: if an object that Lua holds keeps a function that refers
/// to the object, neither side can free them.
public final class LuaFunction {
  private(set) weak var state: LuaState?
  private let reference: Int32

  init(copying index: Int32, from stack: LuaStack) {
    state = stack.state
    lb_push_copy(stack.thread, index)
    reference = lb_reference(stack.thread)
  }

  // Deinitialisation can happen anywhere, also while Lua collects: the state frees the reference later.
  deinit { state?.releaseLater(reference) }

  /// Calls the function and returns its results; throws `LuaError` if it fails. Ctrl-C in it is an `EngineError`
  /// (`.interrupted`) as anywhere else, so that whoever called it can save and stop.
  @discardableResult
  public func call(_ arguments: [LuaValue] = []) throws -> [LuaValue] {
    guard let state, let thread = state.currentThread else {
      throw EngineError(.argument, "a Lua function was called after its state was closed")
    }
    let stack = LuaStack(thread: thread, state: state)
    let base = stack.top
    do {
      try pushReference(onto: stack)
      for argument in arguments { try stack.push(argument) }
    } catch {
      lb_set_top(thread, base)
      throw error
    }
    do {
      return try state.call(stack, arguments: Int32(arguments.count))
    } catch let error as LuaError where error.isInterruption {
      throw error.underlying ?? EngineError(.interrupted, "interrupted")
    }
  }

  func pushReference(onto stack: LuaStack) throws {
    guard state === stack.state else {
      throw EngineError(.argument, "a function of another Lua state cannot be passed")
    }
    try stack.reserve(2)
    lb_push_referenced(stack.thread, reference)
  }
}
