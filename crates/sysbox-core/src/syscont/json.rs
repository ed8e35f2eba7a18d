//! A spec as JSON, the same bytes for the same spec.

use oci_spec::runtime::Spec;
use serde_json::Value;

const SETS: [&str; 5] = ["ambient", "bounding", "effective", "inheritable", "permitted"];

/// A spec as JSON text, with two spaces a level and a final newline. What has no order in a spec (capabilities, annotations) is
/// sorted, so that equal specs give equal bytes.
///
/// # Errors
/// What cannot be said in JSON: a path that is no UTF-8.
pub fn to_json(spec: &Spec) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(spec)?;
    if let Some(capabilities) = value.pointer_mut("/process/capabilities") {
        for set in SETS {
            if let Some(Value::Array(names)) = capabilities.get_mut(set) {
                names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
        }
    }
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_specs_give_equal_bytes_whatever_order_their_sets_are_kept_in() {
        // Sets are hashed with a seed of their own, so two readings of one text keep them in different orders.
        let text = r#"{"ociVersion":"1.0.2","annotations":{"b":"1","a":"2","c":"3"},"process":{"cwd":"/","user":{"uid":0,"gid":0},
            "capabilities":{"bounding":["CAP_CHOWN","CAP_KILL","CAP_SYS_ADMIN","CAP_AUDIT_WRITE","CAP_MKNOD","CAP_SETUID"]}}}"#;
        let json = || to_json(&serde_json::from_str(text).expect("a spec")).expect("JSON");
        let first = json();
        assert!((0..16).all(|_| json() == first));
        assert!(first.ends_with("}\n") && first.contains("CAP_AUDIT_WRITE"));
    }
}
