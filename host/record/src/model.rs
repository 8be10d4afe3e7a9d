//! What `cell.json` records of a model, and the recurrent matrix of a trained one.

use pallium_core::{Error, Matrix, ModelInfo, ParameterInfo, Population, Result, Tensor};
use serde::{Deserialize, Serialize};

/// What is recorded of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Number of hidden units.
    pub neurons: usize,
    /// Number of recurrent blocks.
    pub blocks: usize,
    /// Names of the recurrent blocks for readers.
    pub block_names: Vec<String>,
    /// Names of the recurrent blocks among the parameters; empty in older folders.
    #[serde(default)]
    pub block_tensors: Vec<String>,
    /// Number of trainable values.
    pub parameters: usize,
    /// Groups of hidden units, in the order of the activity; empty in older folders,
    /// where unit i is neuron i.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub populations: Vec<Population>,
    /// The parameters with their shapes and populations; empty in older folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<ParameterInfo>,
}

impl From<&ModelInfo> for ModelRecord {
    fn from(info: &ModelInfo) -> Self {
        let name = |p: &ParameterInfo| if p.title.is_empty() { p.name.clone() } else { p.title.clone() };
        let block_names: Vec<_> = info.recurrent().map(|(_, parameter)| name(parameter)).collect();
        ModelRecord {
            neurons: info.units,
            blocks: block_names.len(),
            block_names,
            block_tensors: info.recurrent().map(|(_, parameter)| parameter.name.clone()).collect(),
            parameters: info.count(),
            populations: info.populations.clone(),
            tensors: info.parameters.clone(),
        }
    }
}

impl ModelRecord {
    /// The block that is the whole recurrent matrix, if unit i is neuron i.
    pub fn single_block(&self) -> Option<&str> {
        match self.populations.as_slice() {
            [] => Some(self.block_tensors.first().map_or("recurrent", String::as_str)),
            [only] if only.neurons.is_none() => self.block_tensors.first().map(String::as_str),
            _ => None,
        }
    }

    /// Number of units that are neurons of the substrate.
    pub fn recorded(&self) -> usize {
        if self.populations.is_empty() {
            self.neurons
        } else {
            self.info().neurons().iter().flatten().count()
        }
    }

    /// The recurrent matrix of all units, from the parameters of a training: see
    /// [`ModelInfo::recurrent_matrix`].
    ///
    /// # Errors
    /// If a block is missing or has another shape.
    pub fn recurrent_matrix(&self, parameters: &[Tensor]) -> Result<Matrix> {
        self.info().recurrent_matrix(|_, block| {
            let missing = || Error::input(format!("no tensor `{}` of shape {:?}", block.name, block.shape));
            let tensor = parameters.iter().find(|tensor| tensor.name == block.name).ok_or_else(missing)?;
            let shape = (block.shape[0], block.shape[1]);
            Matrix::from_shape_vec(shape, tensor.slice::<f32>()?.to_vec()).map_err(|_| missing())
        })
    }

    fn info(&self) -> ModelInfo {
        let mut info = ModelInfo::new(self.neurons, self.tensors.clone());
        info.populations = self.populations.clone();
        info
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use pallium_core::ParameterKind;

    use super::*;

    #[test]
    fn the_matrix_of_a_stored_network_is_in_the_order_of_the_neurons() {
        let block = |name: &str, rows: &str, columns: &str| {
            ParameterInfo::new(name, [1, 1], ParameterKind::Recurrent).between(rows, columns)
        };
        let mut info = ModelInfo::new(2, vec![block("ei", "e", "i"), block("ie", "i", "e")]);
        info.populations =
            vec![Population::of_neurons("e", vec![Some(1)]), Population::of_neurons("i", vec![Some(0)])];
        let text = serde_json::to_string(&ModelRecord::from(&info)).unwrap();
        let record: ModelRecord = serde_json::from_str(&text).unwrap();
        assert_eq!((record.single_block(), record.recorded()), (None, 2));
        let tensor = |name: &str, value: f32| Tensor::new(name, [1, 1], vec![value]);
        let trained = [tensor("ei", 3.0), tensor("ie", 4.0)];
        assert_eq!(record.recurrent_matrix(&trained).unwrap(), array![[0.0, 4.0], [3.0, 0.0]]);
        let missing = record.recurrent_matrix(&trained[..1]).unwrap_err();
        assert!(missing.message.contains("no tensor `ie` of shape [1, 1]"), "{missing}");
    }

    #[test]
    fn a_record_of_an_older_folder_has_one_block() {
        let text = r#"{"neurons": 3, "blocks": 1, "block_names": ["recurrent"], "parameters": 9}"#;
        let record: ModelRecord = serde_json::from_str(text).unwrap();
        assert_eq!((record.single_block(), record.recorded()), (Some("recurrent"), 3));
    }
}
