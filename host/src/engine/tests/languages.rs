//! Guests in other languages than Rust: what they make of values of every type is what the guest in Rust makes of them.

use super::calls::{GREETER, shapes_front, values};
use super::*;

async fn shapes_are_those_of_rust(guest_name: &str) {
    let (engine, here) = (engine(), Arc::<Here>::default());
    let rust = alone(&engine, "greeter-v1", |_| {}).await;
    // They also ask a greeter, when they take a request.
    let other =
        prepare(&engine, guest(guest_name), "greeter", &here, |spec| spec.links.push(greeter_link())).await;
    let other = other.unwrap();
    here.add(&other);
    let front = prepare(&engine, shapes_front(), "shapes", &here, |spec| spec.links.push(greeter_link()));
    let front = front.await.unwrap();

    let call = async |unit: &Arc<Prepared>, instance| {
        let shapes = unit.exports().find(instance, "shapes").unwrap();
        unit.begin().unwrap().call(shapes, values::params(), CallContext::default()).await.unwrap()
    };
    let wanted = call(&rust, Some(GREETER)).await;
    assert_eq!(call(&other, Some(GREETER)).await, wanted);
    assert_eq!(call(&front, None).await, wanted, "through a link");
}

#[tokio::test]
async fn values_of_every_type_go_through_python() {
    shapes_are_those_of_rust("python-greeter-v1").await;
}

#[tokio::test]
async fn values_of_every_type_go_through_javascript() {
    shapes_are_those_of_rust("js-greeter-v1").await;
}
