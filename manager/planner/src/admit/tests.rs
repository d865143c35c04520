//! F79: what two apps may not share, and what one app may not change.

use super::*;
use crate::example::App;

fn spec(app: &str, line: &str) -> Arc<AppSpec> {
    Arc::new(App::new(app, line).spec(1))
}

fn refusal(own: &[Arc<AppSpec>], others: &[Arc<AppSpec>], line: &str) -> (ErrorCode, String) {
    let default = Some("127.0.0.1:8000".parse().unwrap());
    let error = admit(&spec("shop", line), own, others, default).unwrap_err();
    assert!(error.help.is_some());
    (error.code, error.message)
}

#[test]
fn f79_an_id_of_another_app_is_taken() {
    let other = spec("other", "back=1,id=shared");
    assert_eq!(
        refusal(&[], &[other], "front=1,id=shared"),
        (ErrorCode::IdTaken, "component id `shared` of `front` is taken by `back` of app `other`".to_owned())
    );
}

#[test]
fn f79_a_route_of_another_app_is_taken() {
    let other = spec("other", "http=>back,address=0.0.0.0:8000 back=1");
    // The host's default address is the same port.
    let taken = "the HTTP route default address is taken by app `other`".to_owned();
    assert_eq!(refusal(&[], &[Arc::clone(&other)], "http=>front front=1"), (ErrorCode::RouteTaken, taken));
    for free in ["path=/x", "host=h.test", "address=127.0.0.1:9"] {
        let line = format!("http=>front,{free} front=1");
        assert_eq!(admit(&spec("shop", &line), &[], &[Arc::clone(&other)], None), Ok(()), "{free}");
    }
}

#[test]
fn an_app_does_not_stand_in_its_own_way() {
    let own = spec("shop", "http=>front front=1");
    assert_eq!(admit(&own, &[Arc::clone(&own)], &[Arc::clone(&own)], None), Ok(()));
}

#[test]
fn a_name_keeps_its_id_and_an_id_its_name() {
    let own = [spec("shop", "front=1,id=api")];
    assert_eq!(refusal(&own, &[], "front=1,id=web").0, ErrorCode::Conflict);
    assert_eq!(refusal(&own, &[], "web=1,id=api").0, ErrorCode::Conflict);
    assert_eq!(admit(&spec("shop", "web=1,id=web"), &own, &[], None), Ok(()));
}
