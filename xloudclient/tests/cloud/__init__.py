import typing

if typing.TYPE_CHECKING:
    from xloudclient.tests.cloud.cloud import Cloud as Cloud
    from xloudclient.tests.cloud.cloud import CloudError as CloudError


def __getattr__(name: str) -> typing.Any:
    # late, so that the cloud's own processes need not load the SDK
    if name in ('Cloud', 'CloudError'):
        from xloudclient.tests.cloud import cloud
        return getattr(cloud, name)
    raise AttributeError(name)
