//! Containers of objects in memory. The names of some objects make trouble: what is written to `full` does not fit, and
//! what is read of `torn` is half of it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// What is said where it is not done.
type Outcome<T> = Result<T, String>;

#[derive(Default)]
pub(crate) struct Objects {
    containers: BTreeMap<String, Container>,
}

struct Container {
    created_at: u64,
    objects: BTreeMap<String, Object>,
}

#[derive(Clone)]
struct Object {
    created_at: u64,
    data: Bytes,
}

/// What is read, and what is said at its end.
pub(crate) struct Read<T> {
    pub(crate) pieces: Vec<T>,
    pub(crate) end: Outcome<()>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Objects {
    fn container(&mut self, name: &str) -> Outcome<&mut Container> {
        self.containers.get_mut(name).ok_or_else(|| format!("I have no container {name}"))
    }

    fn object(&mut self, container: &str, name: &str) -> Outcome<&Object> {
        let object = self.container(container)?.objects.get(name);
        object.ok_or_else(|| format!("I have no object {name} in {container}"))
    }

    pub(crate) fn clear(&mut self, container: &str) -> Outcome<()> {
        self.container(container).map(|container| container.objects.clear())
    }

    pub(crate) fn exists(&self, container: &str) -> bool {
        self.containers.contains_key(container)
    }

    pub(crate) fn create(&mut self, container: String) -> Outcome<()> {
        if self.exists(&container) {
            return Err(format!("I have a container {container} already"));
        }
        self.containers.insert(container, Container { created_at: now(), objects: BTreeMap::new() });
        Ok(())
    }

    pub(crate) fn delete_container(&mut self, container: &str) -> Outcome<()> {
        self.container(container)?;
        self.containers.remove(container);
        Ok(())
    }

    pub(crate) fn container_info(&mut self, container: &str) -> Outcome<u64> {
        self.container(container).map(|container| container.created_at)
    }

    /// Two names at a time.
    pub(crate) fn list(&mut self, container: &str) -> Outcome<Read<Vec<String>>> {
        let names: Vec<String> = self.container(container)?.objects.keys().cloned().collect();
        Ok(Read { pieces: names.chunks(2).map(<[String]>::to_vec).collect(), end: Ok(()) })
    }

    pub(crate) fn copy(&mut self, from: (&str, &str), to: (&str, &str)) -> Outcome<()> {
        let object = Object { created_at: now(), ..self.object(from.0, from.1)?.clone() };
        self.container(to.0)?.objects.insert(to.1.to_owned(), object);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: (&str, &str), to: (&str, &str)) -> Outcome<()> {
        self.copy(from, to)?;
        self.delete(from.0, &[from.1.to_owned()])
    }

    pub(crate) fn delete(&mut self, container: &str, names: &[String]) -> Outcome<()> {
        let container = self.container(container)?;
        names.iter().for_each(|name| drop(container.objects.remove(name)));
        Ok(())
    }

    /// As those of 1.x that keep files do it: `end` is behind the last byte.
    pub(crate) fn read(&mut self, container: &str, name: &str, start: u64, end: u64) -> Outcome<Read<Bytes>> {
        let data = self.object(container, name)?.data.clone();
        let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(data.len());
        if start > end {
            return Err("I read forwards only".to_owned());
        }
        let part = data.slice(place(start)..place(end));
        let half = || (part.slice(..part.len() / 2), Err("I have lost the other half".to_owned()));
        let (mut part, end) = if name == "torn" { half() } else { (part.clone(), Ok(())) };
        let mut pieces = Vec::new();
        while !part.is_empty() {
            pieces.push(part.split_to(part.len().min(100_000)));
        }
        Ok(Read { pieces, end })
    }

    pub(crate) fn info(&mut self, container: &str, name: &str) -> Outcome<(u64, u64)> {
        self.object(container, name).map(|object| (object.created_at, object.data.len() as u64))
    }

    pub(crate) fn has(&mut self, container: &str, name: &str) -> Outcome<bool> {
        self.container(container).map(|container| container.objects.contains_key(name))
    }

    pub(crate) fn write(&mut self, container: &str, name: String, data: Bytes) -> Outcome<()> {
        if name == "full" {
            return Err(format!("I have no room for {} bytes", data.len()));
        }
        let object = Object { created_at: now(), data };
        self.container(container)?.objects.insert(name, object);
        Ok(())
    }
}
