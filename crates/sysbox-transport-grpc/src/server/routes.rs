//! Which service answers a request.

use std::{collections::HashMap, convert::Infallible, fmt, pin::Pin, sync::Arc};

use http::{Request, Response};
use prost::Message;
use prost_types::FileDescriptorSet;
use sysbox_core::{FsPort, MgrPort};
use sysbox_transport::{Calls, Reception, ServeError, ServerOptions, Stream};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, server::NamedService};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_service::Service;

use super::{
    connection::{self, Http, Told},
    inbound::Inbound,
};
use crate::{
    fs_server::FsService,
    generated::{
        DESCRIPTORS, ext::manager_extension_server::ManagerExtensionServer,
        pb::sysbox_mgr_state_channel_server::SysboxMgrStateChannelServer,
        pb::sysbox_state_channel_server::SysboxStateChannelServer,
    },
    mgr_server::MgrService,
};

/// What answers one request.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The services of one socket.
#[derive(Clone)]
pub(crate) struct Routes {
    methods: Arc<HashMap<String, Method>>,
    served: Arc<[&'static str]>,
    health: HealthReporter,
}

#[derive(Clone)]
struct Method {
    service: Arc<dyn Target>,
    /// Whether it reaches the port, and so is refused while stopping.
    calls_port: bool,
}

impl Routes {
    /// A manager and what goes with it.
    pub(crate) async fn mgr(
        port: Arc<dyn MgrPort>,
        calls: &Calls,
        options: &ServerOptions,
    ) -> Result<Self, ServeError> {
        let service = Arc::new(MgrService::new(port, calls.clone()));
        let channel = SysboxMgrStateChannelServer::from_arc(service.clone());
        let extension = ManagerExtensionServer::from_arc(service);
        let mut builder = Builder::new()?;
        builder.add(channel.max_decoding_message_size(options.message), true).await;
        builder.add(extension.max_decoding_message_size(options.message), true).await;
        builder.finish().await
    }

    /// An fs daemon and what goes with it.
    pub(crate) async fn fs(
        port: Option<Arc<dyn FsPort>>,
        calls: &Calls,
        options: &ServerOptions,
    ) -> Result<Self, ServeError> {
        let is_there = port.is_some();
        let channel = SysboxStateChannelServer::new(FsService::new(port, calls.clone()));
        let mut builder = Builder::new()?;
        builder.add(channel.max_decoding_message_size(options.message), is_there).await;
        builder.finish().await
    }

    /// Begins to answer a request; `None` if it is for the port and no such is taken any more.
    pub(crate) fn answer(&self, request: Request<Inbound>, stopping: bool) -> Option<Answering> {
        match self.methods.get(request.uri().path()) {
            Some(method) if method.calls_port && stopping => None,
            Some(method) => Some(method.service.answer(request)),
            None => {
                let (path, served) = (request.uri().path(), self.served());
                Some(told(&Status::unimplemented(format!("{path} is unknown here; served are {served}"))))
            }
        }
    }
}

impl Reception for Routes {
    fn served(&self) -> String {
        self.served.join(", ")
    }

    fn serve(
        &self,
        stream: Stream,
        options: Arc<ServerOptions>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        connection::serve(stream, Http::served(&options), Told::Answers(self.clone()), options, stop)
    }

    fn refuse(
        &self,
        stream: Stream,
        reason: String,
        options: Arc<ServerOptions>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let told = Told::Refused(Arc::new(Status::permission_denied(reason)));
        connection::serve(stream, Http::refused(), told, options, stop)
    }

    /// By gRPC health.
    async fn tell_stopping(&self) {
        for service in self.served.iter().copied().chain([""]) {
            self.health.set_service_status(service, ServingStatus::NotServing).await;
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.served).finish()
    }
}

/// An answer that is there at once: a status.
pub(crate) fn told(status: &Status) -> Answering {
    let answer = status.clone().into_http();
    Box::pin(std::future::ready(Ok(answer)))
}

/// A service; those that tonic generates differ in their types.
trait Target: Send + Sync {
    fn answer(&self, request: Request<Inbound>) -> Answering;
}

impl<S> Target for S
where
    S: Service<Request<Inbound>, Response = Response<Body>, Error = Infallible, Future = Answering>,
    S: Clone + Send + Sync,
{
    fn answer(&self, request: Request<Inbound>) -> Answering {
        self.clone().call(request)
    }
}

/// Collects services with their methods, by what describes them.
struct Builder {
    files: FileDescriptorSet,
    routes: HashMap<String, Method>,
    served: Vec<&'static str>,
    health: HealthReporter,
    health_service: Arc<dyn Target>,
}

impl Builder {
    fn new() -> Result<Self, ServeError> {
        let sets = [
            DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut files = FileDescriptorSet::default();
        for set in sets {
            files.merge(set).map_err(|error| ServeError::Descriptors(error.into()))?;
        }
        let (health, service) = tonic_health::server::health_reporter();
        let health_service = Arc::new(service);
        Ok(Self { files, routes: HashMap::new(), served: Vec::new(), health, health_service })
    }

    /// Adds a service that calls the port.
    async fn add<S: NamedService + Target + 'static>(&mut self, service: S, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.health.set_service_status(S::NAME, status).await;
        self.served.push(S::NAME);
        self.route(S::NAME, &Method { service: Arc::new(service), calls_port: true });
    }

    fn route(&mut self, name: &str, to: &Method) {
        for file in &self.files.file {
            for service in &file.service {
                if full_name(file.package(), service.name()) == name {
                    let paths = service.method.iter().map(|method| format!("/{name}/{}", method.name()));
                    self.routes.extend(paths.map(|path| (path, to.clone())));
                }
            }
        }
    }

    /// Adds health and reflection, in both versions that clients know.
    async fn finish(mut self) -> Result<Routes, ServeError> {
        let broken = |error: tonic_reflection::server::Error| ServeError::Descriptors(error.into());
        let health: &str = tonic_health::pb::health_server::SERVICE_NAME;
        let v1 = self.reflection(health).build_v1().map_err(broken)?;
        let v1alpha = self.reflection(health).build_v1alpha().map_err(broken)?;
        let beside = |service| Method { service, calls_port: false };
        let health_service = beside(self.health_service.clone());
        self.route(health, &health_service);
        self.route(name_of(&v1), &beside(Arc::new(v1)));
        self.route(name_of(&v1alpha), &beside(Arc::new(v1alpha)));
        Ok(Routes { methods: Arc::new(self.routes), served: self.served.into(), health: self.health })
    }

    fn reflection(&self, health: &str) -> tonic_reflection::server::Builder<'static> {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        self.served
            .iter()
            .copied()
            .chain([health])
            .fold(builder, |builder, name| builder.with_service_name(name))
    }
}

fn full_name(package: &str, service: &str) -> String {
    format!("{package}.{service}")
}

fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}
