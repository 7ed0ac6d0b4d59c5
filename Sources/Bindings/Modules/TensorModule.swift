import LuaHost
import TensorCore

extension Tensor: LuaObject {
  public static var luaName: String { "Tensor" }
}

func tensorModule(_ session: Session) -> Module {
  Module(
    "tensor", "Arrays of numbers with gradients.",
    classes: [Class<Tensor>("An array of numbers.", .property("shape", "sizes of the axes") { $0.shape }).declaration])
}
