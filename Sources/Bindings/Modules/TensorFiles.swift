import Checkpoints
import Diagnostics
import Engine
import Files
import LuaHost
import LuaTensors
import NN
import TensorCore

/// Tensors in safetensors files.
func tensorFiles(_ session: Session) -> [Function] {
  [
    Function(
      "save", "Writes a safetensors file inside the run directory.",
      Param<String>("path", "relative to the run directory"),
      Param<LuaTable>("tensors", "names and tensors"), returns: "path of the file, for load"
    ) { path, table in
      let tensors = try namedTensors(table)
      var place = path
      try session.write(to: path) {
        place = $0
        try SafetensorsFile.write(tensors: tensors, to: place)
      }
      return place
    },
    Function(
      "load", "Reads a safetensors file; float16 becomes float32, int64 becomes int32.",
      Param<String>("path", "of the file; what this script saved goes by the name that it was saved under"),
      returns: "table of names and tensors"
    ) { path in
      let file = try SafetensorsFile(session.readablePath(path))
      // Tensors of a script can be written to; the mapped file cannot.
      let tensors = try file.names.map { name in
        let tensor = try file.tensor(name)
        return (name, LuaValue.object(tensor.storage.isWritable ? tensor : try tensor.copy()))
      }
      return LuaTable(fields: Dictionary(tensors, uniquingKeysWith: { first, _ in first }))
    },
  ]
}

private func namedTensors(_ table: LuaTable) throws -> [(name: String, tensor: Tensor)] {
  guard table.list.isEmpty else {
    throw EngineError(.argument, "save: tensor without a name", hint: "write name = tensor")
  }
  return try table.fields.sorted { $0.key < $1.key }.map { name, value in
    guard case .object(let object) = value, let tensor = object as? Tensor else {
      throw EngineError(.argument, "save: '\(name)' must be a Tensor, got \(value.typeName)")
    }
    return (name, tensor)
  }
}
