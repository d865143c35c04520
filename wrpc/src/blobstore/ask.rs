//! The functions of the interface, with their parameters as bytes.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::codec::wire::{put_bytes, put_len, put_unsigned};

/// A version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The one that is asked for first.
    V0_2_0,
    /// The one of older providers.
    V0_1_0,
}

impl Version {
    /// The instance that a provider serves.
    #[must_use]
    pub const fn instance(self) -> &'static str {
        match self {
            Self::V0_2_0 => "wrpc:blobstore/blobstore@0.2.0",
            Self::V0_1_0 => "wrpc:blobstore/blobstore@0.1.0",
        }
    }
}

/// An object in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<'a> {
    /// The name of the container.
    pub container: &'a str,
    /// The name of the object within it.
    pub name: &'a str,
}

/// One call of the interface. What each does is the provider's; the names say what is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Removes all objects of a container.
    ClearContainer(&'a str),
    /// Answered by [`super::truth`].
    ContainerExists(&'a str),
    /// Makes a container.
    CreateContainer(&'a str),
    /// Removes a container.
    DeleteContainer(&'a str),
    /// Answered by [`super::created_at`].
    GetContainerInfo(&'a str),
    /// All names, without limit and offset. Answered by [`super::Names`].
    ListContainerObjects(&'a str),
    /// From the first to the second.
    CopyObject(Object<'a>, Object<'a>),
    /// From the first to the second.
    MoveObject(Object<'a>, Object<'a>),
    /// Removes an object.
    DeleteObject(Object<'a>),
    /// Removes objects of a container.
    DeleteObjects(&'a str, &'a [String]),
    /// A part of an object, by its first and last place as the provider reads them. Answered by [`super::Data`].
    GetContainerData(Object<'a>, u64, u64),
    /// Answered by [`super::object_info`].
    GetObjectInfo(Object<'a>),
    /// Answered by [`super::truth`].
    HasObject(Object<'a>),
    /// Gives an object the data of the one stream of the call. Answered by [`super::written`].
    WriteContainerData(Object<'a>),
}

impl Ask<'_> {
    /// The name of the function.
    #[must_use]
    pub const fn function(&self) -> &'static str {
        match self {
            Self::ClearContainer(_) => "clear-container",
            Self::ContainerExists(_) => "container-exists",
            Self::CreateContainer(_) => "create-container",
            Self::DeleteContainer(_) => "delete-container",
            Self::GetContainerInfo(_) => "get-container-info",
            Self::ListContainerObjects(_) => "list-container-objects",
            Self::CopyObject(..) => "copy-object",
            Self::MoveObject(..) => "move-object",
            Self::DeleteObject(_) => "delete-object",
            Self::DeleteObjects(..) => "delete-objects",
            Self::GetContainerData(..) => "get-container-data",
            Self::GetObjectInfo(_) => "get-object-info",
            Self::HasObject(_) => "has-object",
            Self::WriteContainerData(_) => "write-container-data",
        }
    }

    /// The encoded tuple of parameters.
    #[must_use]
    pub fn params(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        match *self {
            Self::ClearContainer(container)
            | Self::ContainerExists(container)
            | Self::CreateContainer(container)
            | Self::DeleteContainer(container)
            | Self::GetContainerInfo(container) => put_text(&mut out, container),
            Self::ListContainerObjects(container) => {
                put_text(&mut out, container);
                // No limit, no offset.
                out.put_slice(&[0, 0]);
            }
            Self::CopyObject(from, to) | Self::MoveObject(from, to) => {
                put_object(&mut out, from);
                put_object(&mut out, to);
            }
            Self::DeleteObject(object) | Self::GetObjectInfo(object) | Self::HasObject(object) => {
                put_object(&mut out, object);
            }
            Self::DeleteObjects(container, names) => {
                put_text(&mut out, container);
                put_len(&mut out, names.len());
                names.iter().for_each(|name| put_text(&mut out, name));
            }
            Self::GetContainerData(object, start, end) => {
                put_object(&mut out, object);
                put_unsigned(&mut out, start);
                put_unsigned(&mut out, end);
            }
            Self::WriteContainerData(object) => {
                put_object(&mut out, object);
                // The data follow on a channel.
                out.put_u8(0);
            }
        }
        out.freeze()
    }

    /// Index paths of the streams among the parameters.
    #[must_use]
    pub const fn streams(&self) -> &'static [&'static str] {
        if matches!(self, Self::WriteContainerData(_)) { &["1"] } else { &[] }
    }

    /// Index paths of the streams and futures in the result.
    #[must_use]
    pub const fn result_streams(&self, version: Version) -> &'static [&'static str] {
        match self {
            Self::ListContainerObjects(_) | Self::GetContainerData(..) => match version {
                Version::V0_2_0 => &["0.0", "0.1"],
                Version::V0_1_0 => &["0"],
            },
            Self::WriteContainerData(_) => match version {
                Version::V0_2_0 => &["0"],
                Version::V0_1_0 => &[],
            },
            Self::ClearContainer(_)
            | Self::ContainerExists(_)
            | Self::CreateContainer(_)
            | Self::DeleteContainer(_)
            | Self::GetContainerInfo(_)
            | Self::CopyObject(..)
            | Self::MoveObject(..)
            | Self::DeleteObject(_)
            | Self::DeleteObjects(..)
            | Self::GetObjectInfo(_)
            | Self::HasObject(_) => &[],
        }
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_object(out: &mut BytesMut, object: Object<'_>) {
    put_text(out, object.container);
    put_text(out, object.name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_frozen_form() {
        let object = Object { container: "box", name: "a" };
        let names = ["a".to_owned(), "bc".to_owned()];
        for (ask, bytes) in [
            (Ask::CreateContainer("box"), &b"\x03box"[..]),
            (Ask::ListContainerObjects("box"), b"\x03box\0\0"),
            (Ask::MoveObject(object, Object { container: "b", name: "" }), b"\x03box\x01a\x01b\0"),
            (Ask::DeleteObjects("box", &names), b"\x03box\x02\x01a\x02bc"),
            (Ask::GetContainerData(object, 1, 300), b"\x03box\x01a\x01\xac\x02"),
            (Ask::WriteContainerData(object), b"\x03box\x01a\0"),
        ] {
            assert_eq!(ask.params(), bytes, "{}", ask.function());
        }
    }

    #[test]
    fn only_the_newer_version_says_how_a_stream_ended() {
        let data = Ask::GetContainerData(Object { container: "box", name: "a" }, 0, 1);
        assert_eq!(data.result_streams(Version::V0_2_0), ["0.0", "0.1"]);
        assert_eq!(data.result_streams(Version::V0_1_0), ["0"]);
        let write = Ask::WriteContainerData(Object { container: "box", name: "a" });
        assert_eq!((write.streams(), write.result_streams(Version::V0_2_0)), (&["1"][..], &["0"][..]));
        assert!(write.result_streams(Version::V0_1_0).is_empty());
    }
}
