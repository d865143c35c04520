//! The objects as the two versions of the interface have them. What they have in common is written once.

mod newer {
    wit_bindgen_wrpc::generate!({ world: "object-provider", path: "wit", generate_all });
}

mod older {
    wit_bindgen_wrpc::generate!({ world: "older-object-provider", path: "wit", generate_all });
}

pub(crate) use newer::serve as serve_newer;
pub(crate) use older::serve as serve_older;

use std::pin::Pin;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use wasmcloud_provider_sdk::Context;

use crate::Greeter;
use crate::objects::{Objects, Read};

type Flow<T> = Pin<Box<dyn Stream<Item = T> + Send>>;
type End = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

impl Greeter {
    fn objects<T>(&self, operate: impl FnOnce(&mut Objects) -> T) -> T {
        operate(&mut self.shared.objects.lock().unwrap())
    }
}

fn flow<T: Send + 'static>(read: Read<T>) -> (Flow<T>, End) {
    (Box::pin(stream::iter(read.pieces)), Box::pin(std::future::ready(read.end)))
}

async fn all(mut data: Flow<Bytes>) -> Bytes {
    let mut whole = BytesMut::new();
    while let Some(piece) = data.next().await {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

/// The functions in which the versions do not differ, on the types of the one in whose module it stands.
macro_rules! plain_functions {
    () => {
        async fn clear_container(&self, _: Option<Context>, name: String) -> Result<Result<(), String>> {
            Ok(self.objects(|objects| objects.clear(&name)))
        }

        async fn container_exists(&self, _: Option<Context>, name: String) -> Result<Result<bool, String>> {
            Ok(Ok(self.objects(|objects| objects.exists(&name))))
        }

        async fn create_container(&self, _: Option<Context>, name: String) -> Result<Result<(), String>> {
            Ok(self.objects(|objects| objects.create(name)))
        }

        async fn delete_container(&self, _: Option<Context>, name: String) -> Result<Result<(), String>> {
            Ok(self.objects(|objects| objects.delete_container(&name)))
        }

        async fn get_container_info(
            &self,
            _: Option<Context>,
            name: String,
        ) -> Result<Result<ContainerMetadata, String>> {
            let created_at = self.objects(|objects| objects.container_info(&name));
            Ok(created_at.map(|created_at| ContainerMetadata { created_at }))
        }

        async fn copy_object(
            &self,
            _: Option<Context>,
            src: ObjectId,
            dest: ObjectId,
        ) -> Result<Result<(), String>> {
            let (from, to) = ((&*src.container, &*src.object), (&*dest.container, &*dest.object));
            Ok(self.objects(|objects| objects.copy(from, to)))
        }

        async fn move_object(
            &self,
            _: Option<Context>,
            src: ObjectId,
            dest: ObjectId,
        ) -> Result<Result<(), String>> {
            let (from, to) = ((&*src.container, &*src.object), (&*dest.container, &*dest.object));
            Ok(self.objects(|objects| objects.rename(from, to)))
        }

        async fn delete_object(&self, _: Option<Context>, id: ObjectId) -> Result<Result<(), String>> {
            Ok(self.objects(|objects| objects.delete(&id.container, &[id.object])))
        }

        async fn delete_objects(
            &self,
            _: Option<Context>,
            container: String,
            names: Vec<String>,
        ) -> Result<Result<(), String>> {
            Ok(self.objects(|objects| objects.delete(&container, &names)))
        }

        async fn get_object_info(
            &self,
            _: Option<Context>,
            id: ObjectId,
        ) -> Result<Result<ObjectMetadata, String>> {
            let info = self.objects(|objects| objects.info(&id.container, &id.object));
            Ok(info.map(|(created_at, size)| ObjectMetadata { created_at, size }))
        }

        async fn has_object(&self, _: Option<Context>, id: ObjectId) -> Result<Result<bool, String>> {
            Ok(self.objects(|objects| objects.has(&id.container, &id.object)))
        }
    };
}

mod in_newer {
    use super::newer::exports::wrpc::blobstore0_2_0::blobstore::Handler;
    use super::newer::wrpc::blobstore0_2_0::types::{ContainerMetadata, ObjectId, ObjectMetadata};
    use super::*;

    impl Handler<Option<Context>> for Greeter {
        plain_functions!();

        async fn list_container_objects(
            &self,
            _: Option<Context>,
            name: String,
            _: Option<u64>,
            _: Option<u64>,
        ) -> Result<Result<(Flow<Vec<String>>, End), String>> {
            Ok(self.objects(|objects| objects.list(&name)).map(flow))
        }

        async fn get_container_data(
            &self,
            _: Option<Context>,
            id: ObjectId,
            start: u64,
            end: u64,
        ) -> Result<Result<(Flow<Bytes>, End), String>> {
            Ok(self.objects(|objects| objects.read(&id.container, &id.object, start, end)).map(flow))
        }

        async fn write_container_data(
            &self,
            _: Option<Context>,
            id: ObjectId,
            data: Flow<Bytes>,
        ) -> Result<Result<End, String>> {
            let greeter = self.clone();
            Ok(Ok(Box::pin(async move {
                let data = all(data).await;
                greeter.objects(|objects| objects.write(&id.container, id.object, data))
            })))
        }
    }
}

mod in_older {
    use super::older::exports::wrpc::blobstore0_1_0::blobstore::Handler;
    use super::older::wrpc::blobstore0_1_0::types::{ContainerMetadata, ObjectId, ObjectMetadata};
    use super::*;

    impl Handler<Option<Context>> for Greeter {
        plain_functions!();

        async fn list_container_objects(
            &self,
            _: Option<Context>,
            name: String,
            _: Option<u64>,
            _: Option<u64>,
        ) -> Result<Result<Flow<Vec<String>>, String>> {
            Ok(self.objects(|objects| objects.list(&name)).map(|read| flow(read).0))
        }

        async fn get_container_data(
            &self,
            _: Option<Context>,
            id: ObjectId,
            start: u64,
            end: u64,
        ) -> Result<Result<Flow<Bytes>, String>> {
            let read = self.objects(|objects| objects.read(&id.container, &id.object, start, end));
            Ok(read.map(|read| flow(read).0))
        }

        async fn write_container_data(
            &self,
            _: Option<Context>,
            id: ObjectId,
            data: Flow<Bytes>,
        ) -> Result<Result<(), String>> {
            let data = all(data).await;
            Ok(self.objects(|objects| objects.write(&id.container, id.object, data)))
        }
    }
}
