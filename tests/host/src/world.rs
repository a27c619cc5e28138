//! Holds a built component to its world in `wit/`: it may import less than the world allows, never more.
//! Patch versions are left out of the comparison, because `std` brings whichever it was built with.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use wit_parser::{Resolve, WorldItem, WorldKey};

use crate::{compile, instance::engine};

/// What `wasm` imports or exports and the world does not, and what it should export and does not. Empty: it fits.
pub fn imports_outside_world(wasm: &[u8], wit_dir: &Path, world: &str) -> anyhow::Result<Vec<String>> {
    let allowed = World::load(wit_dir, world)?;
    let code = compile(wasm, false)?;
    let code_type = code.component_type();
    let built = World {
        imports: code_type.imports(engine(false)).map(|(name, _)| without_patch(name)).collect(),
        exports: code_type.exports(engine(false)).map(|(name, _)| without_patch(name)).collect(),
    };
    Ok(allowed.differences(&built))
}

#[derive(Debug, Default)]
struct World {
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl World {
    fn load(wit_dir: &Path, world: &str) -> anyhow::Result<World> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit_dir).with_context(|| format!("in {}", wit_dir.display()))?;
        let id = resolve.select_world(&[package], Some(world))?;
        let name = |(key, _): (&WorldKey, &WorldItem)| without_patch(&resolve.name_world_key(key));
        let world = &resolve.worlds[id];
        Ok(World {
            imports: world.imports.iter().map(name).collect(),
            exports: world.exports.iter().map(name).collect(),
        })
    }

    fn differences(&self, built: &World) -> Vec<String> {
        let imports = built.imports.difference(&self.imports).map(|name| format!("import {name}"));
        let exports = built.exports.difference(&self.exports).map(|name| format!("export {name}"));
        let missing = self.exports.difference(&built.exports).map(|name| format!("no export {name}"));
        imports.chain(exports).chain(missing).collect()
    }
}

/// `wasi:cli/stdout@0.2.6` -> `wasi:cli/stdout@0.2`
fn without_patch(name: &str) -> String {
    match name.split_once('@') {
        Some((interface, version)) => {
            let version: Vec<_> = version.split('.').take(2).collect();
            format!("{interface}@{}", version.join("."))
        }
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(world: &str) -> World {
        World::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit"), world).unwrap()
    }

    #[test]
    fn less_is_fine_and_more_is_named() {
        let check = |world: &str, imports: &[&str], exports: &[&str]| {
            let set = |names: &[&str]| names.iter().map(|name| without_patch(name)).collect();
            load(world).differences(&World { imports: set(imports), exports: set(exports) }).join("\n")
        };
        let std = ["wasi:cli/stdout@0.2.6", "wasi:io/streams@0.2.9", "spin:redis/redis@3.0.0", "wasi:http/types@0.3.0"];
        assert_eq!(check("slack-command", &std, &["wasi:http/handler@0.3.0"]), "");
        assert_eq!(check("sync-poller", &std, &["spin:redis/inbound-redis@3.0.0"]), "");
        insta::assert_snapshot!(
            check(
                "sync-poller",
                &["wasi:sockets/tcp@0.2.6", "wasi:filesystem/types@0.2.6", "spin:redis/redis@4.0.0", "wasi:http/types@0.2.3"],
                &["wasi:http/handler@0.3.0"],
            ),
            @r#"
            import spin:redis/redis@4.0
            import wasi:filesystem/types@0.2
            import wasi:http/types@0.2
            import wasi:sockets/tcp@0.2
            export wasi:http/handler@0.3
            no export spin:redis/inbound-redis@3.0
            "#
        );
    }

    #[test]
    fn each_world_has_one_way_in() {
        let exports = ["slack-command", "github-relay", "sync-poller"].map(|world| load(world).exports);
        insta::assert_debug_snapshot!(exports, @r#"
            [
                {
                    "wasi:http/handler@0.3",
                },
                {
                    "wasi:http/handler@0.3",
                },
                {
                    "spin:redis/inbound-redis@3.0",
                },
            ]
            "#);
    }
}
