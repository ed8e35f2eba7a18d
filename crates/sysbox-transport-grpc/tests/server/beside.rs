//! Health, reflection, and what is not there.

use std::sync::Arc;

use sysbox_core::{
    AbsPath,
    port::{MockFsPort, MockMgrPort},
};
use sysbox_transport_grpc::ServerOptions;
use tonic::{Code, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::served::{FsClient, Served, pb, within};

const MGR: &str = "protobuf.sysboxMgrStateChannel";
const FS: &str = "protobuf.sysboxStateChannel";

async fn health(channel: Channel, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.into() };
    let answer = within(HealthClient::new(channel).check(request)).await.map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}

#[tokio::test]
async fn health_tells_that_the_services_serve_and_knows_no_others() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let channel = served.channel().await;
    for service in ["", MGR, "sysbox.mgr.ext.v1.ManagerExtension"] {
        assert_eq!(health(channel.clone(), service).await, Ok(ServingStatus::Serving), "{service:?}");
    }
    assert_eq!(health(channel, FS).await, Err(Code::NotFound));
    served.end().await;
}

#[tokio::test]
async fn health_tells_its_watchers_that_the_daemon_stops() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let mut client = HealthClient::new(served.channel().await);
    let request = HealthCheckRequest { service: MGR.into() };
    let mut watched = within(client.watch(request)).await.expect("watched").into_inner();
    let first = within(watched.message()).await.expect("told").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);
    served.stop.cancel();
    let last = within(watched.message()).await.expect("told").expect("a status");
    assert_eq!(last.status(), ServingStatus::NotServing);
    drop((client, watched));
    served.end().await;
}

/// Asks for the services by one version of reflection, and for the file that describes `symbol`.
macro_rules! reflected {
    ($version:ident, $channel:expr, $symbol:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = |what| ServerReflectionRequest { host: String::new(), message_request: Some(what) };
        let questions = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol($symbol.into())),
        ];
        let mut client = ServerReflectionClient::new($channel);
        let stream =
            within(client.server_reflection_info(tokio_stream_of(questions))).await.expect("answers");
        let mut stream = stream.into_inner();
        let mut services = Vec::new();
        let mut described = false;
        while let Some(answer) = within(stream.message()).await.expect("answered") {
            match answer.message_response.expect("an answer") {
                MessageResponse::ListServicesResponse(list) => {
                    services.extend(list.service.into_iter().map(|service| service.name));
                }
                MessageResponse::FileDescriptorResponse(files) => {
                    described = !files.file_descriptor_proto.is_empty()
                }
                other => panic!("{other:?}"),
            }
        }
        services.sort();
        (services, described)
    }};
}

/// A stream of requests that are all there.
fn tokio_stream_of<T: Send + 'static, const N: usize>(
    items: [T; N],
) -> impl tonic::codegen::tokio_stream::Stream<Item = T> + Send + 'static {
    tonic::codegen::tokio_stream::iter(items)
}

#[tokio::test]
async fn reflection_describes_what_is_served_in_both_versions() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let channel = served.channel().await;
    for (services, described) in
        [reflected!(v1, channel.clone(), MGR), reflected!(v1alpha, channel.clone(), MGR)]
    {
        assert!(described);
        for service in [MGR, "sysbox.mgr.ext.v1.ManagerExtension", "grpc.health.v1.Health"] {
            assert!(services.iter().any(|found| found == service), "{service} in {services:?}");
        }
        assert!(!services.iter().any(|found| found == FS), "{services:?}");
    }
    served.end().await;
}

#[tokio::test]
async fn a_method_that_is_not_there_is_named_in_the_refusal() {
    let served = Served::mgr(MockMgrPort::new(), ServerOptions::default());
    let mut client = tonic::client::Grpc::new(served.channel().await);
    for path in [
        "/protobuf.sysboxMgrStateChannel/Explode",
        "/protobuf.sysboxStateChannel/GetMountpoint",
        "/",
        "/protobuf.sysboxMgrStateChannel/Register/",
    ] {
        within(client.ready()).await.expect("ready");
        let codec = tonic_prost::ProstCodec::<pb::PauseReq, pb::PauseResp>::default();
        let request = tonic::Request::new(pb::PauseReq { id: "c1".into() });
        let status =
            within(client.unary(request, PathAndQuery::from_static(path), codec)).await.expect_err(path);
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains(path) && status.message().contains(MGR), "{status}");
    }
    served.end().await;
}

#[tokio::test]
async fn a_daemon_without_an_fs_backend_says_what_to_do() {
    let served = Served::fs(None);
    let channel = served.channel().await;
    let mut client = FsClient::new(channel.clone());
    let mountpoint = within(client.get_mountpoint(pb::MountpointReq {})).await.expect_err("none");
    let data = pb::ContainerData { id: "c1".into(), ..Default::default() };
    let register = within(client.container_registration(data)).await.expect_err("none");
    for status in [mountpoint, register] {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("--no-sysbox-fs"), "{status}");
    }
    assert_eq!(health(channel.clone(), FS).await, Ok(ServingStatus::NotServing));
    assert_eq!(health(channel, "").await, Ok(ServingStatus::Serving));
    served.end().await;
}

#[tokio::test]
async fn an_fs_daemon_is_served() {
    let mut port = MockFsPort::new();
    port.expect_mountpoint().returning(|| Ok(AbsPath::new("/var/lib/sysboxfs").expect("absolute")));
    let served = Served::fs(Some(Arc::new(port)));
    let channel = served.channel().await;
    let answer = within(FsClient::new(channel.clone()).get_mountpoint(pb::MountpointReq {})).await;
    assert_eq!(answer.expect("answered").into_inner().mountpoint, "/var/lib/sysboxfs");
    assert_eq!(health(channel, FS).await, Ok(ServingStatus::Serving));
    served.end().await;
}
