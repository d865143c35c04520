//! Links from the HTTP server of another app, as manifests of 1.x have them: one app owns it, others have their routes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lath_tests::{App, Lattice, Load, eventually};

use crate::words;

/// Longest wait for a state of the lattice.
const PATIENCE: Duration = Duration::from_secs(40);

/// The app `web`: a server without a link of its own, for others.
fn web(folder: &Path, address: SocketAddr) -> PathBuf {
    let path = folder.join("web.yaml");
    let yaml = format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: web
  annotations: {{ version: v1, experimental.wasmcloud.dev/shared: 'true' }}
spec:
  components:
    - name: http
      type: capability
      properties:
        image: builtin://http-server
        config: [{{ name: server, properties: {{ routing_mode: path, default_address: '{address}' }} }}]
      traits:
        - {{ type: daemonscaler, properties: {{ instances: 1 }} }}
"
    );
    std::fs::write(&path, yaml).unwrap();
    path
}

fn taker(name: &str, lattice: &Lattice) -> App {
    let app = App::hello(name, lattice.address).config("hello", "greeting", name);
    app.server_of("web").below(&format!("/{name}"))
}

async fn says(load: &Load, wanted: &str) {
    eventually(PATIENCE, &format!("the answer `{wanted}`"), async || {
        let said = words::hello(&load.once().await?);
        if said == wanted { Ok(()) } else { Err(said) }
    })
    .await;
}

async fn is_nobodys(load: &Load) {
    eventually(PATIENCE, "nobody to have this route", async || match load.once().await {
        Err(error) if error.contains("status 404") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_link_from_the_http_server_of_another_app_and_their_routes_change_and_go_with_them() {
    let lattice = Lattice::of_two_hosts().await;
    let lath = lattice.lath();
    let (a, b) = (taker("a", &lattice), taker("b", &lattice));
    lattice.deploy(&a).await.exits(4).says(&["`web`", "deploy that app first"]);
    let web = web(lattice.folder(), lattice.address);
    let _ = lath.run(["deploy".as_ref(), web.as_os_str()]).await.exits(0);
    let _ = lattice.deploy(&a).await.exits(0);
    // Through the API of wadm, as `wash app deploy` does it.
    let of_b = b.write(lattice.folder());
    let _ = lath.run(["app".as_ref(), "deploy".as_ref(), of_b.as_os_str()]).await.exits(0);
    let (at_a, at_b) = (Load::new(lattice.address, "/a"), Load::new(lattice.address, "/b"));
    says(&at_a, "v1 a").await;
    says(&at_b, "v1 b").await;
    is_nobodys(&Load::new(lattice.address, "/")).await;
    eventually(PATIENCE, "b to be deployed", async || {
        let told = lath.run(["app", "status", "b"]).await.told();
        if told.contains("Deployed") { Ok(()) } else { Err(told) }
    })
    .await;

    let loads = [at_a.clone().rate(100).start(), at_b.clone().rate(100).start()];
    words::more(&loads[0], 100).await;
    let _ = lattice.deploy(&a.clone().image("hello", "http-hello-v2")).await.exits(0);
    words::more(&loads[0], 100).await;
    let _ = lath.run(["rollback", "a"]).await.exits(0);
    words::more(&loads[0], 100).await;
    let [of_a, of_b] = loads;
    let accounts = of_a.finish().await;
    println!("{}", accounts.summary(words::hello));
    accounts.none_failed();
    assert_eq!(accounts.by(words::hello).keys().collect::<Vec<_>>(), ["v1 a", "v2 a"]);

    // The same route is refused, whosever server it comes from.
    for thief in [taker("thief", &lattice).below("/a"), App::hello("thief", lattice.address).below("/a")] {
        lattice.deploy(&thief).await.exits(5).says(&["`a`", "E0401"]);
    }

    // Another route takes the place of the one before, which goes back with its app, and nobody else's does.
    let moved = Load::new(lattice.address, "/moved");
    let _ = lattice.deploy(&a.clone().below("/moved")).await.exits(0);
    says(&moved, "v1 a").await;
    is_nobodys(&at_a).await;
    let _ = lath.run(["rollback", "a"]).await.exits(0);
    says(&at_a, "v1 a").await;
    is_nobodys(&moved).await;
    let _ = lath.run(["undeploy", "a"]).await.exits(0);
    is_nobodys(&at_a).await;
    let accounts = of_b.finish().await;
    println!("{}", accounts.summary(words::hello));
    accounts.none_failed();
    assert_eq!(accounts.by(words::hello).keys().collect::<Vec<_>>(), ["v1 b"]);
    let _ = lattice.deploy(&a).await.exits(0);
    says(&at_a, "v1 a").await;
}
